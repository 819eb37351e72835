# SPDX-License-Identifier: Apache-2.0
"""The order of importance of the rules of device choice, one example each."""

import itertools

import pytest

from nova_gpu_passthrough.topology.choice import Rules, choose
from nova_gpu_passthrough.topology.model import Preference
from tests.unit.builders import gpu, hgx, numbers


def chosen(gpus, rules, companions=()):
    found = choose(gpus, rules, companions)
    return found and numbers(found[0])


def test_nodes_beyond_the_guests_cells_are_worse_than_split_link_groups():
    gpus = [gpu(1, node=0, link="x"), gpu(2, node=1, link="x"), gpu(3, node=1, link="y")]
    assert chosen(gpus, Rules(2)) == [1, 2]
    assert chosen(gpus, Rules(2, numa_limit=1)) == [2, 3]


def test_companions_are_worth_a_split_link_group():
    gpus = [gpu(1, link="x"), gpu(2, link="x"), gpu(3, link="y")]
    assert chosen(gpus, Rules(2), [(0,), (0,), (1,)]) == [1, 2]
    assert chosen(gpus, Rules(2, companions=(1,)), [(0,), (0,), (1,)]) == [1, 3]


def test_no_set_without_the_companions_that_are_asked_for():
    assert chosen([gpu(1), gpu(2)], Rules(2, companions=(2,)), [(1,), (0,)]) is None


def test_companions_of_several_kinds_must_all_be_there():
    gpus = [gpu(1), gpu(2), gpu(3)]
    offered = [(1, 0), (0, 1), (1, 1)]
    assert chosen(gpus, Rules(1, companions=(1, 1)), offered) == [3]


def test_a_link_group_is_worth_a_second_numa_node():
    gpus = [gpu(1, node=0, link="x"), gpu(2, node=1, link="x"), gpu(3, node=0, link="y")]
    assert chosen(gpus, Rules(2)) == [1, 2]
    assert chosen(gpus, Rules(2, link=Preference.NONE)) == [1, 3]


def test_required_links_refuse_what_preferred_links_take():
    gpus = [gpu(1, link="x"), gpu(2, link="y")]
    assert chosen(gpus, Rules(2)) == [1, 2]
    assert chosen(gpus, Rules(2, link=Preference.REQUIRED)) is None


def test_gpus_without_a_link_group_are_not_linked():
    assert chosen([gpu(1), gpu(2)], Rules(2, link=Preference.REQUIRED)) is None


def test_one_gpu_needs_no_link_and_no_switch():
    rules = Rules(1, link=Preference.REQUIRED, switch=Preference.REQUIRED)
    assert chosen([gpu(1)], rules) == [1]


def test_the_fewest_numa_nodes_are_worth_a_second_switch():
    gpus = [gpu(1, node=0, switch="a"), gpu(2, node=1, switch="a"), gpu(3, node=0, switch="b")]
    assert chosen(gpus, Rules(2)) == [1, 3]
    assert chosen(gpus, Rules(2, switch=Preference.REQUIRED)) == [1, 2]


def test_an_unknown_numa_node_is_worse_than_a_known_one():
    assert chosen([gpu(1, node=None), gpu(2, node=3)], Rules(1)) == [2]


def test_the_fewest_switches_are_worth_a_broken_partition():
    gpus = [
        gpu(1, link="x/a", switch="s"),
        gpu(2, link="x/b", switch="s"),
        gpu(3, link="x/a", switch="t"),
    ]
    assert chosen(gpus, Rules(2)) == [1, 2]
    assert chosen(gpus, Rules(2, switch=Preference.NONE)) == [1, 3]


def test_switches_that_nobody_tells_are_no_shared_switch():
    assert chosen([gpu(1), gpu(2)], Rules(2, switch=Preference.REQUIRED)) is None


def test_a_pair_comes_from_one_partition():
    assert chosen(hgx([1, 2, 4, 5]), Rules(2)) == [4, 5]


def test_a_single_gpu_leaves_sets_of_eight_and_four_whole_while_a_loose_one_exists():
    loose = gpu(0x20, node=2)
    assert chosen([*hgx(), loose], Rules(1)) == [0x20]
    assert chosen([*hgx(range(4)), loose], Rules(1)) == [0x20]


def test_a_single_gpu_comes_from_a_broken_pair():
    assert chosen(hgx([0, 1, 3, 4, 5, 6, 7]), Rules(1)) == [3]


def test_a_pair_comes_from_a_broken_half():
    assert chosen(hgx([0, 1, 4, 5, 6, 7]), Rules(2)) == [0, 1]


def test_gpus_with_companions_are_kept_for_those_who_ask_for_them():
    assert chosen([gpu(1), gpu(2)], Rules(1), [(1,), (0,)]) == [2]


def test_whole_sets_are_worth_more_than_spare_companions():
    gpus = [*hgx([0, 1]), gpu(0x20, node=2)]
    assert chosen(gpus, Rules(1), [(0,), (0,), (1,)]) == [0x20]


LEGAL = {
    8: [set(range(8))],
    4: [{0, 1, 2, 3}, {4, 5, 6, 7}],
    2: [{0, 1}, {2, 3}, {4, 5}, {6, 7}],
    1: [{number} for number in range(8)],
}


def place(counts):
    """Place requests one after the other on an HGX board; what each got."""
    free = hgx()
    got = []
    for count in counts:
        found = choose(free, Rules(count, link=Preference.REQUIRED))
        assert found is not None, f"no {count} left after {got}"
        free = [one for one in free if one not in found[0]]
        got.append(set(numbers(found[0])))
    return got


@pytest.mark.parametrize(
    "counts", [(1, 1, 2, 4), (1,) * 8, (2,) * 4, (4, 4), (8,), (4, 1, 2, 1), (1, 2, 1, 4)]
)
def test_a_board_is_filled_by_legal_partitions(counts):
    for count, got in zip(counts, place(counts), strict=True):
        assert got in LEGAL[count]


@pytest.mark.parametrize("counts", sorted(set(itertools.permutations((1, 1, 2, 4)))))
def test_any_order_of_arrival_fills_a_board(counts):
    got = place(counts)
    assert set.union(*got) == set(range(8))
    assert all(got[i] in LEGAL[count] for i, count in enumerate(counts))
