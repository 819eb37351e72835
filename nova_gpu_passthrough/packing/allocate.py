# SPDX-License-Identifier: Apache-2.0
"""What is left of a host once a server is on it."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from nova_gpu_passthrough.packing.host_state import (
    UNLINKED,
    CellState,
    GpuGroup,
    HostState,
    canonical,
)
from nova_gpu_passthrough.packing.request_class import Reach, RequestClass


class Place(NamedTuple):
    """Some of a host's GPUs: on which cell (None: of no known node), model and link group."""

    cell: int | None
    model: str
    link: int


def taken(
    state: HostState,
    wanted: RequestClass,
    cells: Sequence[int] = (),
    gpus: Mapping[Place, int] | None = None,
) -> HostState:
    """The host with a server of the class on it, in canonical form.

    :param state: need not be in canonical form; cells and places are those of this very state
    :param cells: indices of the cells that the guest's cells get
    :param gpus: how many GPUs it gets from where
    """
    return canonical(moved(state, wanted, cells, gpus or {}, -1))


def moved(
    state: HostState,
    wanted: RequestClass,
    cells: Sequence[int],
    gpus: Mapping[Place, int],
    sign: int,
) -> HostState:
    """The host once the server has come (sign -1) or gone (1).

    Cells and links keep their places, groups without free GPUs are kept.
    """
    vcpus, pinned, ram = (
        sign * wanted.cell_vcpus,
        sign * wanted.cell_pinned_cpus,
        sign * wanted.cell_ram_mib,
    )
    return HostState(
        tuple(
            CellState(
                cell.shared_cpus + (vcpus if index in cells else 0),
                cell.pinned_cpus + (pinned if index in cells else 0),
                cell.ram_mib + (ram if index in cells else 0),
                _moved(cell.gpus, index, gpus, sign),
            )
            for index, cell in enumerate(state.cells)
        ),
        state.vcpus + sign * wanted.vcpus,
        state.ram_mib + sign * wanted.ram_mib,
        state.disk_gib + sign * wanted.disk_gib,
        _moved(state.gpus, None, gpus, sign),
    )


def placements(state: HostState, wanted: RequestClass) -> list[HostState]:
    """What can be left of the host, for every choice of cells that a server of the class has.

    On given cells the GPUs are those that leave large sets: of one cell and link group where these
    suffice, of the smallest that do.

    :param state: in canonical form
    :returns: canonical states without repetition; none if the server does not fit
    """
    if not _fits_host(state, wanted):
        return []
    found: dict[HostState, None] = {}
    for cells, sources in _choices(state, wanted):
        gpus = _pick(sources, wanted)
        if gpus is not None:
            found[taken(state, wanted, cells, gpus)] = None
    return list(found)


def has_room(cell: CellState, wanted: RequestClass) -> bool:
    """Whether CPUs and RAM of a host's cell suffice for a cell of the guest."""
    return (
        wanted.cell_vcpus <= cell.shared_cpus
        and wanted.cell_pinned_cpus <= cell.pinned_cpus
        and wanted.cell_ram_mib <= cell.ram_mib
    )


def _moved(
    groups: tuple[GpuGroup, ...], cell: int | None, gpus: Mapping[Place, int], sign: int
) -> tuple[GpuGroup, ...]:
    if not gpus:
        return groups
    return tuple(
        group._replace(free=group.free + sign * gpus.get(Place(cell, group.model, group.link), 0))
        for group in groups
    )


def _fits_host(state: HostState, wanted: RequestClass) -> bool:
    return (
        wanted.vcpus <= state.vcpus
        and wanted.ram_mib <= state.ram_mib
        and wanted.disk_gib <= state.disk_gib
        and not (wanted.pinned_cpus and not wanted.numa_cells)
    )


_Sources = Sequence[tuple[Place, int]]


def _choices(state: HostState, wanted: RequestClass) -> Iterator[tuple[tuple[int, ...], _Sources]]:
    """Cells for the guest, and what GPUs it may have there."""
    everywhere = range(len(state.cells))
    if wanted.numa_cells:
        room = [index for index in everywhere if has_room(state.cells[index], wanted)]
        for cells in itertools.combinations(room, wanted.numa_cells):
            sources = list(_sources(state, cells, wanted))
            if wanted.reach is not Reach.NEAR:
                sources += _sources(state, (None,), wanted)
            if _count(sources) < wanted.gpus and wanted.reach is Reach.ANYWHERE:
                sources = list(_sources(state, (*everywhere, None), wanted))
            yield cells, sources
        return
    for cell in everywhere if wanted.gpus else ():
        yield (), list(_sources(state, (cell,), wanted))
    if wanted.reach is not Reach.NEAR or not wanted.gpus:
        # Over several cells only where no cell has enough.
        sources = list(_sources(state, (*everywhere, None), wanted))
        if (
            all(
                _pick(list(_sources(state, (cell,), wanted)), wanted) is None for cell in everywhere
            )
            or not wanted.gpus
        ):
            yield (), sources


def _sources(
    state: HostState, cells: Iterable[int | None], wanted: RequestClass
) -> Iterator[tuple[Place, int]]:
    for cell in cells:
        for model, link, free in state.gpus if cell is None else state.cells[cell].gpus:
            if free and wanted.model in (None, model):
                yield Place(cell, model, link), free


def _count(sources: _Sources) -> int:
    return sum(free for _, free in sources)


def _pick(sources: _Sources, wanted: RequestClass) -> Mapping[Place, int] | None:
    """How many GPUs from where; None if there are too few."""
    lack = wanted.gpus
    if not lack:
        return {}
    if lack > 1:
        # Within one link group if possible, and there on one cell if possible.
        linked: dict[int, list[tuple[Place, int]]] = {}
        for place, free in sources:
            if place.link != UNLINKED:
                linked.setdefault(place.link, []).append((place, free))
        enough = [group for group in linked.values() if _count(group) >= lack]
        if enough:
            return _fill(min(enough, key=_count), lack)
        if wanted.linked:
            return None
    if _count(sources) < lack:
        return None
    return _fill(sources, lack)


def _fill(sources: _Sources, lack: int) -> Mapping[Place, int]:
    """The smallest place that suffices; else from the largest on, so that few are touched."""
    enough = [source for source in sources if source[1] >= lack]
    if enough:
        place, _ = min(enough, key=lambda source: (source[1], source[0].link != UNLINKED))
        return {place: lack}
    gone: dict[Place, int] = {}
    for place, free in sorted(sources, key=lambda source: -source[1]):
        gone[place] = min(lack, free)
        lack -= gone[place]
        if not lack:
            break
    return gone
