# SPDX-License-Identifier: Apache-2.0
"""Finding link groups in pairs of GPUs."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.host.links.cliques import cliques, components, neighbours

#: The cube mesh of a DGX-1 with V100, as its nvidia-smi topo -m shows it.
CUBE_MESH = {
    "01": 1, "02": 1, "03": 2, "04": 2, "12": 2, "13": 1, "15": 2, "23": 2, "26": 1, "37": 1,
    "45": 1, "46": 1, "47": 2, "56": 2, "57": 1, "67": 2,
}  # fmt: skip


def graph(pairs, size=8):
    gpus = [str(number) for number in range(size)]
    return neighbours(gpus, {frozenset(pair): links for pair, links in pairs.items()})


def test_gpus_that_are_all_joined_are_one_group():
    pairs = {a + b: 18 for a, b in itertools.combinations("01234567", 2)}
    assert cliques(graph(pairs)) == [list("01234567")]


def test_pairs_stay_pairs():
    assert cliques(graph({"01": 4, "23": 4}, 5)) == [["0", "1"], ["2", "3"]]


def test_the_cube_mesh_is_split_into_two_groups_of_four():
    assert cliques(graph(CUBE_MESH)) == [list("0123"), list("4567")]


def test_a_chain_is_no_group():
    assert cliques(graph({"01": 1, "12": 1}, 3)) == [["0", "1"]]
    assert cliques(graph({"01": 1, "12": 2}, 3)) == [["1", "2"]]


def test_no_links_no_groups():
    assert cliques(graph({})) == []
    assert cliques({}) == []


def test_components_are_joined_through_others():
    assert components(graph({"01": 1, "12": 1, "45": 1}, 6)) == [{"0", "1", "2"}, {"3"}, {"4", "5"}]


@st.composite
def graphs(draw):
    size = draw(st.integers(0, 10))
    pairs = [a + b for a, b in itertools.combinations("0123456789"[:size], 2)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return graph({pair: draw(st.integers(1, 3)) for pair in chosen}, size)


@given(graphs())
def test_all_gpus_of_a_group_are_joined_and_no_gpu_is_in_two_groups(joined):
    groups = cliques(joined)
    members = [gpu for group in groups for gpu in group]
    assert len(members) == len(set(members))
    for group in groups:
        assert len(group) > 1
        assert all(b in joined[a] for a, b in itertools.combinations(group, 2))


@given(graphs())
def test_no_two_joined_gpus_are_left_without_a_group(joined):
    grouped = {gpu for group in cliques(joined) for gpu in group}
    assert not any(b in joined[a] for a in joined.keys() - grouped for b in joined.keys() - grouped)
