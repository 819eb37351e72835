# SPDX-License-Identifier: Apache-2.0
"""Partitions inside a link group."""

from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.host.links import partitions


def blocks(*members):
    return [frozenset(block) for block in members]


H100 = blocks(range(1, 9), range(1, 5), range(5, 9), (1, 3), (2, 4), (5, 7), (6, 8), (1,), (2,))


def test_halves_and_pairs_of_eight():
    assert partitions.tree(range(1, 9), H100) == {
        1: ("q0", "p0"),
        2: ("q0", "p1"),
        3: ("q0", "p0"),
        4: ("q0", "p1"),
        5: ("q1", "p0"),
        6: ("q1", "p1"),
        7: ("q1", "p0"),
        8: ("q1", "p1"),
    }


def test_of_overlapping_blocks_the_first_is_taken():
    """HGX A100 with two boards offers eights across the boards, too (Fabric Manager User Guide)."""
    two_boards = blocks(
        range(1, 17),
        range(1, 9),
        range(9, 17),
        (*range(1, 5), *range(9, 13)),
        (*range(5, 9), *range(13, 17)),
        *(range(start, start + 4) for start in (1, 5, 9, 13)),
    )
    tree = partitions.tree(range(1, 17), two_boards)
    assert (tree[1], tree[8], tree[9]) == (("b0", "q0"), ("b0", "q1"), ("b1", "q0"))


def test_a_missing_gpu_changes_no_others_partition():
    whole = partitions.tree(range(1, 9), H100)
    assert partitions.tree(range(2, 9), H100) == {m: whole[m] for m in range(2, 9)}


def test_blocks_of_all_of_one_or_of_others_are_no_partitions():
    assert partitions.tree((1, 2), blocks((1, 2), (1,), (7, 8))) == {1: (), 2: ()}


def test_sizes_without_a_letter_have_names_of_their_own():
    tree = partitions.tree(range(6), blocks((0, 1, 2), (3, 4, 5)))
    assert (tree[0], tree[3]) == (("g3-0",), ("g3-1",))


@given(
    st.sets(st.integers(0, 15), min_size=1),
    st.lists(st.frozensets(st.integers(0, 15), max_size=8), max_size=12),
)
def test_paths_are_a_tree_whatever_the_blocks(members, some):
    tree = partitions.tree(members, some)
    assert tree.keys() == members
    for depth in range(1, 5):
        groups = {}
        for member, path in tree.items():
            if len(path) >= depth:
                groups.setdefault(path[:depth], set()).add(member)
        # Everything of one name is in one block.
        assert all(any(group <= block for block in some) for group in groups.values())
