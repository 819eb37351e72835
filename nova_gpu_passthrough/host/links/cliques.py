# SPDX-License-Identifier: Apache-2.0
"""Link groups from pairs of GPUs: sets of GPUs of which any two are joined.

A chain or a partial mesh (the cube mesh of eight V100) is no link group: a server that requires
links could get two of its GPUs without one between them. It falls apart into groups without gaps.
"""

from collections.abc import Collection, Mapping, Set

#: More GPUs than any machine joins without joining all.
_STARTS = 16


def neighbours(
    gpus: Collection[str], pairs: Mapping[frozenset[str], int]
) -> dict[str, dict[str, int]]:
    """GPUs that each GPU is joined with, and the links to them."""
    found: dict[str, dict[str, int]] = {gpu: {} for gpu in sorted(gpus)}
    for pair, links in pairs.items():
        a, b = pair
        if a in found and b in found:
            found[a][b] = found[b][a] = links
    return found


def components(joined: Mapping[str, Mapping[str, int]]) -> list[set[str]]:
    """Sets of GPUs that are joined directly or over others, the lowest address first."""
    left, found = set(joined), []
    for start in sorted(joined):
        if start in left:
            reached, frontier = {start}, {start}
            while frontier:
                frontier = {other for gpu in frontier for other in joined[gpu]} - reached
                reached |= frontier
            left -= reached
            found.append(reached)
    return found


def cliques(joined: Mapping[str, Mapping[str, int]]) -> list[list[str]]:
    """Disjoint sets of two and more GPUs of which any two are joined, the lowest address first.

    The largest is taken first, then the one with most links, then the one with the lowest
    addresses. The search is greedy from several GPUs: exact where all are joined, as on every
    board, and of the cube mesh.
    """
    found = []
    for component in components(joined):
        left = component
        while len(left) > 1:
            if all(left - {gpu} <= joined[gpu].keys() for gpu in left):
                best = sorted(left)
            else:
                starts = sorted(left)[:_STARTS]
                best = min(
                    (_grow(start, joined, left) for start in starts),
                    key=lambda members: (-len(members), -_links(members, joined), members),
                )
            if len(best) > 1:
                found.append(best)
            left = left - set(best)
    return sorted(found)


def _grow(start: str, joined: Mapping[str, Mapping[str, int]], left: Set[str]) -> list[str]:
    members = [start]
    candidates = joined[start].keys() & left
    while candidates:
        # Next the GPU that leaves most others to go on with.
        chosen = min(
            candidates,
            key=lambda gpu: (
                -len(candidates & joined[gpu].keys()),
                -sum(joined[gpu][member] for member in members),
                gpu,
            ),
        )
        members.append(chosen)
        candidates &= joined[chosen].keys()
    return sorted(members)


def _links(members: Collection[str], joined: Mapping[str, Mapping[str, int]]) -> int:
    return sum(joined[a].get(b, 0) for a in members for b in members)
