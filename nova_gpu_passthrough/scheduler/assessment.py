# SPDX-License-Identifier: Apache-2.0
"""How a host's state answers a request: what filter and weigher have in common."""

import random
from collections.abc import Container, Mapping, Sequence, Set
from typing import TYPE_CHECKING, NamedTuple

from nova_gpu_passthrough.scheduler import candidates, pools
from nova_gpu_passthrough.scheduler.requests import ServerRequest
from nova_gpu_passthrough.topology.fit import DeviceChoice, Reason, Refusal, fit
from nova_gpu_passthrough.topology.model import (
    Device,
    Gpu,
    GpuRequest,
    HostGpus,
    NumaCell,
)

if TYPE_CHECKING:
    from nova import objects
    from nova.scheduler.host_manager import HostState


class Assessment(NamedTuple):
    """The answer of one host; without a GPU request there is neither a choice nor a refusal."""

    host: HostGpus
    request: GpuRequest
    #: Best first; empty if the host is refused or the request is not one for GPUs there.
    choices: Sequence[DeviceChoice]
    refusal: Refusal | None
    #: None if Placement does not track the devices of the request.
    union: candidates.HostCandidates | None


def assess(
    host_state: "HostState", request: ServerRequest, rng: random.Random | None = None
) -> Assessment:
    """Fit a request to a host.

    :raises pools.MalformedPoolError: if the host's PCI pools are not as Nova makes them
    :raises candidates.MalformedCandidatesError: if no allocation candidate is well-formed
    """
    stats = host_state.pci_stats
    free = pools.read(stats.pools) if stats else []
    serving = {
        alias.demand.id: [pool for pool in free if pool.serves(alias.specs)]
        for alias in request.aliases
    }
    union = None
    if request.groups and host_state.allocation_candidates:
        union = candidates.read(
            host_state.allocation_candidates, request.groups, _sought(request, serving)
        )
    named = union.providers if union else None
    host, gpu_request = _offers(host_state, request, free, serving, named)
    if not gpu_request.gpus:
        return Assessment(host, gpu_request, (), None, union)
    answer = fit(host, gpu_request, rng)
    if union and union.truncated:
        providers = _probably_free(union, request, free)
        if providers != {alias: known.keys() for alias, known in union.providers.items()}:
            wider, _ = _offers(host_state, request, free, serving, providers)
            better = fit(wider, gpu_request, rng)
            if not isinstance(better, Refusal) and (
                isinstance(answer, Refusal) or better[0].fit_key() < answer[0].fit_key()
            ):
                host, answer = wider, better
    if isinstance(answer, Refusal):
        if union and not isinstance(host_state.allocation_candidates[0], candidates.Candidate):
            answer = _disagreement(host, union) or answer
        return Assessment(host, gpu_request, (), answer, union)
    return Assessment(host, gpu_request, answer, None, union)


def _sought(
    request: ServerRequest, serving: Mapping[str, Sequence[pools.Pool]]
) -> Mapping[str, Set[str]] | None:
    """Providers of the free devices of every alias; None for a guest with pinned CPUs.

    For such a guest Nova adds candidates with VCPU instead of PCPU (nova/scheduler/manager.py).
    """
    if any(cell.pinned_cpus for cell in request.guest_cells):
        return None
    return {
        alias: {pool.provider for pool in offered if pool.provider is not None}
        for alias, offered in serving.items()
    }


def _offers(
    host_state: "HostState",
    request: ServerRequest,
    free: Sequence[pools.Pool],
    serving: Mapping[str, Sequence[pools.Pool]],
    providers: Mapping[str, Container[str | None]] | None,
) -> tuple[HostGpus, GpuRequest]:
    """Which free devices serve which alias: those of ``serving`` that have these providers."""
    gpus: dict[str, tuple[Gpu, ...]] = {}
    attached: dict[str, tuple[Device, ...]] = {}
    for alias in request.aliases:
        offered = serving[alias.demand.id]
        if providers is not None:
            named = providers[alias.demand.id]
            offered = [pool for pool in offered if pool.provider in named]
        is_gpu = alias.is_gpu
        if is_gpu is None:
            is_gpu = bool(offered) and all(pool.model is not None for pool in offered)
        if is_gpu:
            gpus[alias.demand.id] = tuple(gpu for pool in offered for gpu in pool.gpus())
        else:
            most = alias.demand.count
            attached[alias.demand.id] = tuple(d for pool in offered for d in pool.devices(most))
    return (
        HostGpus(
            gpus,
            attached,
            _cells(host_state) if request.guest_cells else (),
            frozenset(pool.card for pool in free if pool.model is None and pool.card is not None),
        ),
        request.gpu_request(gpus),
    )


def _probably_free(
    union: candidates.HostCandidates, request: ServerRequest, free: Sequence[pools.Pool]
) -> Mapping[str, Set[str]]:
    """The named providers, and others of the same kind that the cut list does not name.

    Placement may hold one of them back (reserved, used by a server that moves): the claim fails
    then, and the scheduler goes on. So they are for the caller to take only if it gains by them.
    One-time-use devices are held back as a rule, and traits do not show in the pools.
    """
    providers = {}
    for alias in request.aliases:
        named = union.providers[alias.demand.id].keys()
        if alias.demand.id not in union.kinds:
            # Later, in a multi-create, the named devices may all be gone.
            likes = [pool for pool in free if pool.provider in named]
            union.kinds[alias.demand.id] = likes[0] if likes else None
        kind = union.kinds[alias.demand.id]
        more = {
            pool.provider
            for pool in free
            if pool.provider is not None
            and "one_time_use" not in pool.raw
            and kind is not None
            and pool.is_like(kind)
        }
        providers[alias.demand.id] = named if alias.has_traits else named | more
    return providers


def _disagreement(host: HostGpus, union: candidates.HostCandidates) -> Refusal | None:
    """Placement names devices that the pools do not have, or have otherwise than asked."""
    for alias, gpus in host.gpus.items():
        named = union.providers[alias].keys()
        missing = named - {gpu.provider for gpu in gpus}
        if missing:
            return Refusal(
                Reason.PLACEMENT,
                f"Placement names {len(named)} devices, of which {len(missing)} are not free and "
                f"matching in the compute node's pools: {', '.join(sorted(missing))}",
            )
    return None


def _cells(host_state: "HostState") -> tuple[NumaCell, ...]:
    topology = host_state.numa_topology
    if not topology:
        return ()
    return tuple(
        NumaCell(
            cell.id,
            cell.socket if "socket" in cell else None,
            len(cell.cpuset),
            cell.avail_pcpus,
            cell.memory,
            free_memory(cell),
        )
        for cell in topology.cells
    )


def free_memory(cell: "objects.NUMACell") -> int:
    """Memory in MiB that a guest's cell can get on a host's.

    Where the host tells its memory pages, Nova looks at these and not at the usage.
    """
    free: int = cell.avail_memory
    if cell.mempages:
        free = max(pages.free_kb for pages in cell.mempages) // 1024
    return free
