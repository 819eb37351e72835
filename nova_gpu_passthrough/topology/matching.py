# SPDX-License-Identifier: Apache-2.0
"""Pick a different item for every position: guest cells on NUMA nodes, GPUs for requests."""

import itertools
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

_Item = TypeVar("_Item", bound=Hashable)


def match(options: Sequence[Iterable[_Item]]) -> list[_Item] | None:
    """Return a different item for every position, or None if there are too few.

    A maximum bipartite matching by augmenting paths: its time grows with the product of positions
    and options, where trying every order would take the factorial.

    :param options: by position, the items that suit it, the preferred ones first
    """
    owner: dict[_Item, int] = {}

    def augment(position: int, seen: set[_Item]) -> bool:
        for item in options[position]:
            if item in seen:
                continue
            seen.add(item)
            if item not in owner or augment(owner[item], seen):
                owner[item] = position
                return True
        return False

    if not all(augment(position, set()) for position in range(len(options))):
        return None
    positions = {position: item for item, position in owner.items()}
    return [positions[position] for position in range(len(options))]


def assign(demands: Sequence[tuple[int, Sequence[_Item]]]) -> list[list[_Item]] | None:
    """Assign distinct items to every demand; None if there are too few.

    :param demands: for each, how many items it needs and which may serve it
    """
    matched = match([items for count, items in demands for _ in range(count)])
    if matched is None:
        return None
    remaining = iter(matched)
    return [list(itertools.islice(remaining, count)) for count, _ in demands]
