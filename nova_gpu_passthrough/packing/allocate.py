# SPDX-License-Identifier: Apache-2.0
"""Compute the state of a host after a server is allocated on it."""

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
from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass


class GpuLocation(NamedTuple):
    """The cell (None: unknown), model and link group of some free GPUs of a host."""

    cell: int | None
    model: str
    link: int


def allocate(
    state: HostState,
    request: RequestClass,
    cells: Sequence[int] = (),
    gpus: Mapping[GpuLocation, int] | None = None,
) -> HostState:
    """Return the state with a server of the class allocated, in canonical form.

    :param state: in any form; ``cells`` and ``gpus`` refer to it
    :param cells: indices of the host cells of the guest's cells
    :param gpus: the number of GPUs by location
    """
    return canonical(apply_server(state, request, cells, gpus or {}, -1))


def apply_server(
    state: HostState,
    request: RequestClass,
    cells: Sequence[int],
    gpus: Mapping[GpuLocation, int],
    sign: int,
) -> HostState:
    """Return the state with a server allocated (sign -1) or released (1).

    The order of cells and the numbers of link groups stay; groups without free GPUs are kept.
    """
    vcpus, pinned, ram = (
        sign * request.cell_vcpus,
        sign * request.cell_pinned_cpus,
        sign * request.cell_ram_mib,
    )
    return HostState(
        tuple(
            CellState(
                cell.shared_cpus + (vcpus if index in cells else 0),
                cell.pinned_cpus + (pinned if index in cells else 0),
                cell.ram_mib + (ram if index in cells else 0),
                _with_gpus(cell.gpus, index, gpus, sign),
            )
            for index, cell in enumerate(state.cells)
        ),
        state.vcpus + sign * request.vcpus,
        state.ram_mib + sign * request.ram_mib,
        state.disk_gib + sign * request.disk_gib,
        _with_gpus(state.gpus, None, gpus, sign),
    )


def possible_states(state: HostState, request: RequestClass) -> list[HostState]:
    """Return the states that a server of the class can leave, one for each choice of cells.

    On given cells, the GPUs are chosen so that large sets stay free: from the smallest link group
    or cell that suffices.

    :param state: in canonical form
    :returns: different canonical states; empty if the server does not fit
    """
    if not _fits_host(state, request):
        return []
    states: dict[HostState, None] = {}
    for cells, sources in _choices(state, request):
        gpus = _pick(sources, request)
        if gpus is not None:
            states[allocate(state, request, cells, gpus)] = None
    return list(states)


def cell_has_room(cell: CellState, request: RequestClass) -> bool:
    """Check whether the CPUs and RAM of a host cell suffice for a guest cell."""
    return (
        request.cell_vcpus <= cell.shared_cpus
        and request.cell_pinned_cpus <= cell.pinned_cpus
        and request.cell_ram_mib <= cell.ram_mib
    )


def _with_gpus(
    groups: tuple[GpuGroup, ...], cell: int | None, gpus: Mapping[GpuLocation, int], sign: int
) -> tuple[GpuGroup, ...]:
    if not gpus:
        return groups
    return tuple(
        group._replace(
            free=group.free + sign * gpus.get(GpuLocation(cell, group.model, group.link), 0)
        )
        for group in groups
    )


def _fits_host(state: HostState, request: RequestClass) -> bool:
    return (
        request.vcpus <= state.vcpus
        and request.ram_mib <= state.ram_mib
        and request.disk_gib <= state.disk_gib
        and not (request.pinned_cpus and not request.numa_cells)
    )


_Sources = Sequence[tuple[GpuLocation, int]]


def _choices(state: HostState, request: RequestClass) -> Iterator[tuple[tuple[int, ...], _Sources]]:
    """Yield the host cells for the guest, and the free GPUs that it may get there."""
    everywhere = range(len(state.cells))
    if request.numa_cells:
        room = [index for index in everywhere if cell_has_room(state.cells[index], request)]
        for cells in itertools.combinations(room, request.numa_cells):
            sources = list(_sources(state, cells, request))
            if request.gpu_locality is not GpuLocality.LOCAL:
                sources += _sources(state, (None,), request)
            if _count(sources) < request.gpus and request.gpu_locality is GpuLocality.ANY_NODE:
                sources = list(_sources(state, (*everywhere, None), request))
            yield cells, sources
        return
    for cell in everywhere if request.gpus else ():
        yield (), list(_sources(state, (cell,), request))
    if request.gpu_locality is not GpuLocality.LOCAL or not request.gpus:
        # From several cells only if no cell has enough.
        sources = list(_sources(state, (*everywhere, None), request))
        if (
            all(
                _pick(list(_sources(state, (cell,), request)), request) is None
                for cell in everywhere
            )
            or not request.gpus
        ):
            yield (), sources


def _sources(
    state: HostState, cells: Iterable[int | None], request: RequestClass
) -> Iterator[tuple[GpuLocation, int]]:
    for cell in cells:
        for model, link, free in state.gpus if cell is None else state.cells[cell].gpus:
            if free and request.model in (None, model):
                yield GpuLocation(cell, model, link), free


def _count(sources: _Sources) -> int:
    return sum(free for _, free in sources)


def _pick(sources: _Sources, request: RequestClass) -> Mapping[GpuLocation, int] | None:
    """Choose the number of GPUs from each source; None if there are too few."""
    missing = request.gpus
    if not missing:
        return {}
    if missing > 1:
        # Within one link group if possible, and within that on one cell if possible.
        linked: dict[int, list[tuple[GpuLocation, int]]] = {}
        for location, free in sources:
            if location.link != UNLINKED:
                linked.setdefault(location.link, []).append((location, free))
        enough = [group for group in linked.values() if _count(group) >= missing]
        if enough:
            return _choose_from(min(enough, key=_count), missing)
        if request.linked:
            return None
    if _count(sources) < missing:
        return None
    return _choose_from(sources, missing)


def _choose_from(sources: _Sources, missing: int) -> Mapping[GpuLocation, int]:
    """Choose the smallest source that suffices, else the largest ones, so that few are used."""
    enough = [source for source in sources if source[1] >= missing]
    if enough:
        location, _ = min(enough, key=lambda source: (source[1], source[0].link != UNLINKED))
        return {location: missing}
    chosen: dict[GpuLocation, int] = {}
    for location, free in sorted(sources, key=lambda source: -source[1]):
        chosen[location] = min(missing, free)
        missing -= chosen[location]
        if not missing:
            break
    return chosen
