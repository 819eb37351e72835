# SPDX-License-Identifier: Apache-2.0
"""The fabric manager's partitions, and their names in a link group."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.host.links import partitions
from tests.unit import strategies


def document(*blocks, bus="00000000:{:02X}:00.0"):
    """Return the output of ``fmpm -l`` for partitions with these physical ids."""
    return {
        "version": 1,
        "numPartitions": len(blocks),
        "partitionInfo": [
            {
                "partitionId": number,
                "isActive": 0,
                "numGpus": len(ids),
                "gpuInfo": [
                    {"physicalId": i, "uuid": "GPU-1", "pciBusId": bus.format(16 * i)} for i in ids
                ],
            }
            for number, ids in enumerate(blocks)
        ],
    }


def test_partitions_and_addresses_are_read():
    found = partitions.parse_fabric_manager(document([1, 2, 3, 4], [1, 3], [2, 4], [1]), "fm.json")
    assert found.partitions == ({1, 2, 3, 4}, {1, 3}, {2, 4}, {1})
    assert found.modules == {f"0000:{16 * i:02x}:00.0": i for i in (1, 2, 3, 4)}
    assert found.indexes == set()


@pytest.mark.parametrize("bus", ["", "N/A"])
def test_partitions_without_addresses_are_read(bus):
    found = partitions.parse_fabric_manager(document([1, 2], bus=bus), "fm.json")
    assert (found.partitions, found.modules) == (({1, 2},), {})


@pytest.mark.parametrize("other", [None, [], {}, "x", {"partitionInfo": [{}]}])
def test_other_json_is_ignored(other):
    assert partitions.parse_fabric_manager(other, "fm.json") is None


@given(strategies.json_values)
def test_any_json_is_read_or_rejected(value):
    partitions.parse_fabric_manager(value, "fm.json")
    partitions.parse_fabric_manager({"partitionInfo": value}, "fm.json")
    partitions.parse_fabric_manager({"partitionInfo": [{"gpuInfo": value}]}, "fm.json")
    partitions.parse_fabric_manager(
        {"partitionInfo": [{"gpuInfo": [{"physicalId": value}]}]}, "fm.json"
    )


def blocks(*members):
    return [frozenset(block) for block in members]


H100 = blocks(range(1, 9), range(1, 5), range(5, 9), (1, 3), (2, 4), (5, 7), (6, 8), (1,), (2,))


def test_halves_and_pairs_of_eight():
    assert partitions.name_partitions(range(1, 9), H100) == {
        1: ("q0", "p0"),
        2: ("q0", "p1"),
        3: ("q0", "p0"),
        4: ("q0", "p1"),
        5: ("q1", "p0"),
        6: ("q1", "p1"),
        7: ("q1", "p0"),
        8: ("q1", "p1"),
    }


def test_the_first_of_overlapping_blocks_is_used():
    """Two HGX A100 boards have partitions of eight across boards (Fabric Manager User Guide)."""
    two_boards = blocks(
        range(1, 17),
        range(1, 9),
        range(9, 17),
        (*range(1, 5), *range(9, 13)),
        (*range(5, 9), *range(13, 17)),
        *(range(start, start + 4) for start in (1, 5, 9, 13)),
    )
    tree = partitions.name_partitions(range(1, 17), two_boards)
    assert (tree[1], tree[8], tree[9]) == (("b0", "q0"), ("b0", "q1"), ("b1", "q0"))


def test_a_missing_gpu_does_not_change_other_partitions():
    whole = partitions.name_partitions(range(1, 9), H100)
    assert partitions.name_partitions(range(2, 9), H100) == {m: whole[m] for m in range(2, 9)}


def test_blocks_of_all_members_of_one_or_of_others_are_no_partitions():
    assert partitions.name_partitions((1, 2), blocks((1, 2), (1,), (7, 8))) == {1: (), 2: ()}


def test_sizes_without_a_prefix_have_generic_names():
    tree = partitions.name_partitions(range(6), blocks((0, 1, 2), (3, 4, 5)))
    assert (tree[0], tree[3]) == (("g3-0",), ("g3-1",))


@given(
    st.sets(st.integers(0, 15), min_size=1),
    st.lists(st.frozensets(st.integers(0, 15), max_size=8), max_size=12),
)
def test_paths_are_a_tree_whatever_the_blocks(members, some):
    tree = partitions.name_partitions(members, some)
    assert tree.keys() == members
    for depth in range(1, 5):
        groups = {}
        for member, path in tree.items():
            if len(path) >= depth:
                groups.setdefault(path[:depth], set()).add(member)
        # All members of one name are in one block.
        assert all(any(group <= block for block in some) for group in groups.values())
