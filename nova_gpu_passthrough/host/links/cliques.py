# SPDX-License-Identifier: Apache-2.0
"""Find link groups in pairs of GPUs: sets in which every two GPUs are joined.

A chain or a partial mesh (the cube mesh of eight V100) is no link group: a server that requires
links could get two of its GPUs without a link between them. It is split into complete groups.
"""

from collections.abc import Collection, Mapping, Set

#: No machine joins more GPUs than this without joining all of them.
_MAX_STARTS = 16


def neighbours(
    gpus: Collection[str], pairs: Mapping[frozenset[str], int]
) -> dict[str, dict[str, int]]:
    """Return the GPUs that each GPU is joined with, and the number of links to each."""
    joined: dict[str, dict[str, int]] = {gpu: {} for gpu in sorted(gpus)}
    for pair, links in pairs.items():
        a, b = pair
        if a in joined and b in joined:
            joined[a][b] = joined[b][a] = links
    return joined


def components(joined: Mapping[str, Mapping[str, int]]) -> list[set[str]]:
    """Return the sets of GPUs joined directly or through others, the lowest address first."""
    left, result = set(joined), []
    for start in sorted(joined):
        if start in left:
            reached, frontier = {start}, {start}
            while frontier:
                frontier = {other for gpu in frontier for other in joined[gpu]} - reached
                reached |= frontier
            left -= reached
            result.append(reached)
    return result


def cliques(joined: Mapping[str, Mapping[str, int]]) -> list[list[str]]:
    """Return disjoint sets of at least two GPUs that are all joined, the lowest address first.

    The largest set is chosen first; among equals the one with the most links, then the one with
    the lowest addresses. The search is greedy from several GPUs. It is exact where all GPUs are
    joined, as on every board, and for the cube mesh.
    """
    result = []
    for component in components(joined):
        left = component
        while len(left) > 1:
            if all(left - {gpu} <= joined[gpu].keys() for gpu in left):
                best = sorted(left)
            else:
                starts = sorted(left)[:_MAX_STARTS]
                best = min(
                    (_grow(start, joined, left) for start in starts),
                    key=lambda members: (-len(members), -_links(members, joined), members),
                )
            if len(best) > 1:
                result.append(best)
            left = left - set(best)
    return sorted(result)


def _grow(start: str, joined: Mapping[str, Mapping[str, int]], left: Set[str]) -> list[str]:
    members = [start]
    candidates = joined[start].keys() & left
    while candidates:
        # Add the GPU that keeps the most other candidates.
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
