# SPDX-License-Identifier: Apache-2.0
"""Partitions inside a link group, as a tree.

A fabric manager may offer blocks that overlap (on two boards: 1 to 8, and 1 to 4 with 9 to 12). A
link group's path is a tree, so of overlapping blocks of one size the first is taken.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

_T = TypeVar("_T")
#: b: board, q: four GPUs, p: a pair.
_LETTERS = {8: "b", 4: "q", 2: "p"}


def tree(members: Collection[_T], blocks: Iterable[frozenset[_T]]) -> Mapping[_T, tuple[str, ...]]:
    """Names of the partitions that each member is in, outermost first.

    :param members: what of the link group is there
    :param blocks: partitions; those with one member and those with all are left out
    """
    paths: dict[_T, tuple[str, ...]] = dict.fromkeys(members, ())
    useful = [
        block
        for block in dict.fromkeys(blocks)
        if len(block) > 1 and block & paths.keys() and not paths.keys() <= block
    ]
    for size in sorted({len(block) for block in useful}, reverse=True):
        parents = dict(paths)
        taken: set[_T] = set()
        numbers: dict[tuple[str, ...], int] = {}
        for block in useful:
            inside = block & paths.keys()
            above = {parents[member] for member in inside}
            if len(block) != size or len(above) != 1 or inside & taken:
                continue
            parent = above.pop()
            number = numbers.setdefault(parent, 0)
            numbers[parent] += 1
            taken |= inside
            for member in inside:
                paths[member] = (*parent, f"{_LETTERS.get(size, f'g{size}-')}{number}")
    return paths
