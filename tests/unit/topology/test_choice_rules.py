# SPDX-License-Identifier: Apache-2.0
"""The order of importance of the rules of device choice, with one example each."""

import itertools

import pytest

from nova_gpu_passthrough.topology.choice import choose
from nova_gpu_passthrough.topology.model import Preference
from nova_gpu_passthrough.topology.search import ChoiceRules
from tests.unit.builders import gpu, hgx, numbers


def chosen(gpus, rules, companions=()):
    result = choose(gpus, rules, companions)
    return result and numbers(result[0])


def test_nodes_beyond_the_guests_cells_are_worse_than_split_link_groups():
    gpus = [gpu(1, node=0, link="x"), gpu(2, node=1, link="x"), gpu(3, node=1, link="y")]
    assert chosen(gpus, ChoiceRules(2)) == [1, 2]
    assert chosen(gpus, ChoiceRules(2, numa_limit=1)) == [2, 3]


def test_companions_justify_a_split_link_group():
    gpus = [gpu(1, link="x"), gpu(2, link="x"), gpu(3, link="y")]
    assert chosen(gpus, ChoiceRules(2), [(0,), (0,), (1,)]) == [1, 2]
    assert chosen(gpus, ChoiceRules(2, companions=(1,)), [(0,), (0,), (1,)]) == [1, 3]


def test_no_set_without_the_requested_companions():
    assert chosen([gpu(1), gpu(2)], ChoiceRules(2, companions=(2,)), [(1,), (0,)]) is None


def test_all_requested_companions_must_be_on_the_card():
    gpus = [gpu(1), gpu(2), gpu(3)]
    offered = [(1, 0), (0, 1), (1, 1)]
    assert chosen(gpus, ChoiceRules(1, companions=(1, 1)), offered) == [3]


def test_a_link_group_justifies_a_second_numa_node():
    gpus = [gpu(1, node=0, link="x"), gpu(2, node=1, link="x"), gpu(3, node=0, link="y")]
    assert chosen(gpus, ChoiceRules(2)) == [1, 2]
    assert chosen(gpus, ChoiceRules(2, link=Preference.NONE)) == [1, 3]


def test_required_links_exclude_sets_that_preferred_links_allow():
    gpus = [gpu(1, link="x"), gpu(2, link="y")]
    assert chosen(gpus, ChoiceRules(2)) == [1, 2]
    assert chosen(gpus, ChoiceRules(2, link=Preference.REQUIRED)) is None


def test_gpus_without_a_link_group_are_not_linked():
    assert chosen([gpu(1), gpu(2)], ChoiceRules(2, link=Preference.REQUIRED)) is None


def test_one_gpu_needs_no_link_and_no_switch():
    rules = ChoiceRules(1, link=Preference.REQUIRED, switch=Preference.REQUIRED)
    assert chosen([gpu(1)], rules) == [1]


def test_fewer_numa_nodes_justify_a_second_switch():
    gpus = [gpu(1, node=0, switch="a"), gpu(2, node=1, switch="a"), gpu(3, node=0, switch="b")]
    assert chosen(gpus, ChoiceRules(2)) == [1, 3]
    assert chosen(gpus, ChoiceRules(2, switch=Preference.REQUIRED)) == [1, 2]


def test_an_unknown_numa_node_is_worse_than_a_known_one():
    assert chosen([gpu(1, node=None), gpu(2, node=3)], ChoiceRules(1)) == [2]


def test_fewer_switches_justify_a_broken_partition():
    gpus = [
        gpu(1, link="x/a", switch="s"),
        gpu(2, link="x/b", switch="s"),
        gpu(3, link="x/a", switch="t"),
    ]
    assert chosen(gpus, ChoiceRules(2)) == [1, 2]
    assert chosen(gpus, ChoiceRules(2, switch=Preference.NONE)) == [1, 3]


def test_unknown_switches_are_not_shared():
    assert chosen([gpu(1), gpu(2)], ChoiceRules(2, switch=Preference.REQUIRED)) is None


def test_a_pair_comes_from_one_partition():
    assert chosen(hgx([1, 2, 4, 5]), ChoiceRules(2)) == [4, 5]


def test_a_single_gpu_leaves_sets_of_eight_and_four_whole_if_there_is_a_separate_one():
    separate = gpu(0x20, node=2)
    assert chosen([*hgx(), separate], ChoiceRules(1)) == [0x20]
    assert chosen([*hgx(range(4)), separate], ChoiceRules(1)) == [0x20]


def test_a_single_gpu_comes_from_a_broken_pair():
    assert chosen(hgx([0, 1, 3, 4, 5, 6, 7]), ChoiceRules(1)) == [3]


def test_a_pair_comes_from_a_broken_half():
    assert chosen(hgx([0, 1, 4, 5, 6, 7]), ChoiceRules(2)) == [0, 1]


def test_gpus_with_companions_are_kept_for_requests_for_companions():
    assert chosen([gpu(1), gpu(2)], ChoiceRules(1), [(1,), (0,)]) == [2]


def test_whole_sets_count_more_than_spare_companions():
    gpus = [*hgx([0, 1]), gpu(0x20, node=2)]
    assert chosen(gpus, ChoiceRules(1), [(0,), (0,), (1,)]) == [0x20]


LEGAL = {
    8: [set(range(8))],
    4: [{0, 1, 2, 3}, {4, 5, 6, 7}],
    2: [{0, 1}, {2, 3}, {4, 5}, {6, 7}],
    1: [{number} for number in range(8)],
}


def fill_board(counts):
    """Choose GPUs of an HGX board for requests one after the other; return each choice."""
    free = hgx()
    chosen_sets = []
    for count in counts:
        result = choose(free, ChoiceRules(count, link=Preference.REQUIRED))
        assert result is not None, f"no {count} left after {chosen_sets}"
        free = [one for one in free if one not in result[0]]
        chosen_sets.append(set(numbers(result[0])))
    return chosen_sets


@pytest.mark.parametrize(
    "counts", [(1, 1, 2, 4), (1,) * 8, (2,) * 4, (4, 4), (8,), (4, 1, 2, 1), (1, 2, 1, 4)]
)
def test_a_board_is_filled_by_legal_partitions(counts):
    for count, chosen_sets in zip(counts, fill_board(counts), strict=True):
        assert chosen_sets in LEGAL[count]


@pytest.mark.parametrize("counts", sorted(set(itertools.permutations((1, 1, 2, 4)))))
def test_any_order_of_arrival_fills_a_board(counts):
    chosen_sets = fill_board(counts)
    assert set.union(*chosen_sets) == set(range(8))
    assert all(chosen_sets[i] in LEGAL[count] for i, count in enumerate(counts))
