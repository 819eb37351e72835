# SPDX-License-Identifier: Apache-2.0
"""Fit a request to a host: what the filter and the weigher have in common."""

import itertools
import random
from collections.abc import Container, Mapping, Sequence, Set
from typing import TYPE_CHECKING, NamedTuple

from nova_gpu_passthrough.scheduler import candidates, pools
from nova_gpu_passthrough.scheduler.requests import ServerRequest
from nova_gpu_passthrough.topology import tags
from nova_gpu_passthrough.topology.fit import DeviceChoice, FitReason, FitRefusal, fit
from nova_gpu_passthrough.topology.model import FreeDevice, FreeGpu, GpuRequest, HostGpus, NumaCell

if TYPE_CHECKING:
    from nova import objects
    from nova.scheduler.host_manager import HostState


class Assessment(NamedTuple):
    """Whether and how a host fits a request.

    Without a GPU request there are neither choices nor a refusal.
    """

    host: HostGpus
    request: GpuRequest
    #: Best first; empty if the host is refused or if no alias requests GPUs there.
    choices: Sequence[DeviceChoice]
    refusal: FitRefusal | None
    #: None if Placement does not track the devices of the request.
    host_candidates: candidates.HostCandidates | None


def assess(
    host_state: "HostState", request: ServerRequest, rng: random.Random | None = None
) -> Assessment:
    """Fit a request to a host.

    :param rng: picks among equally good choices; None: the lowest PCI addresses win
    :raises pools.MalformedPoolError: if the host's PCI pools are not as Nova makes them
    :raises candidates.MalformedCandidatesError: if no allocation candidate is well-formed
    """
    stats = host_state.pci_stats
    free_pools = pools.read(stats.pools) if stats else []
    matching = {
        device_request.pci_request.id: [p for p in free_pools if p.serves(device_request.specs)]
        for device_request in request.aliases + request.ports
    }
    host_candidates = None
    if request.groups and host_state.allocation_candidates:
        host_candidates = candidates.read(
            host_state.allocation_candidates, request.groups, _free_devices(request, matching)
        )
    listed = host_candidates.providers if host_candidates else None
    units = host_candidates.units if host_candidates else {}
    host, gpu_request = _offer(host_state, request, free_pools, matching, listed, units)
    if not gpu_request.gpus:
        return Assessment(host, gpu_request, (), None, host_candidates)
    fitted = fit(host, gpu_request, rng)
    if not isinstance(fitted, FitRefusal):
        return Assessment(host, gpu_request, fitted, None, host_candidates)
    if host_candidates and host_candidates.truncated and len(request.aliases) > 1:
        # The last alias has all its devices in a truncated list, but the first may have few: others
        # of the same kind are better than a refusal.
        providers = _with_unlisted_providers(host_candidates, request, free_pools)
        if any(providers[id_] > known.keys() for id_, known in host_candidates.providers.items()):
            larger_host, _ = _offer(host_state, request, free_pools, matching, providers, units)
            larger_fit = fit(larger_host, gpu_request, rng)
            if not isinstance(larger_fit, FitRefusal):
                return Assessment(larger_host, gpu_request, larger_fit, None, host_candidates)
    if host_candidates and not isinstance(
        host_state.allocation_candidates[0], candidates.AllocationCandidate
    ):
        fitted = _placement_mismatch(host, host_candidates) or fitted
    return Assessment(host, gpu_request, (), fitted, host_candidates)


def may_request_gpus(host_state: "HostState", request: ServerRequest) -> bool:
    """Check whether some alias requests GPUs on a host with malformed pools or candidates.

    It does if it requests them on every host, or if a pool that Placement lists for it, or that
    matches it where Placement lists none, has a GPU or any ``gpu_`` tag. Never raises.
    """
    if request.certainly_gpu:
        return True
    raw_pools = getattr(host_state.pci_stats, "pools", None)
    if not isinstance(raw_pools, list):
        return False
    groups = itertools.chain.from_iterable(request.groups.values())
    listed = candidates.listed_providers(host_state.allocation_candidates, groups)
    return any(
        (
            str(raw.get("rp_uuid")) in listed
            if listed
            else any(pools.serves(raw, alias.specs) for alias in request.aliases)
        )
        and (pools.model_of(raw) or any(str(key).startswith(tags.PREFIX) for key in raw))
        for raw in raw_pools
        if isinstance(raw, dict)
    )


def free_memory_mib(cell: "objects.NUMACell") -> int:
    """Return the most memory in MiB that a guest cell can get on a host cell.

    Where the host reports its memory pages, Nova counts free pages and ignores the usage.
    """
    free: int = cell.avail_memory
    if cell.mempages:
        free = max(pages.free_kb for pages in cell.mempages) // 1024
    return free


def _free_devices(
    request: ServerRequest, matching: Mapping[str, Sequence[pools.Pool]]
) -> candidates.FreeDevices | None:
    """Return the free devices of all aliases; None for a guest with pinned CPUs.

    For such a guest Nova adds candidates with VCPU instead of PCPU (nova/scheduler/manager.py).
    """
    if any(cell.pinned_cpus for cell in request.guest_cells):
        return None
    providers: dict[str, set[str]] = {}
    free: dict[str, int] = {}
    requested: dict[str, int] = {}
    for alias, groups in request.groups.items():
        known = providers[alias] = set()
        for pool in matching[alias]:
            if pool.provider is None:
                continue
            known.add(pool.provider)
            if pool.free > 1:
                free[pool.provider] = pool.free
                requested[pool.provider] = requested.get(pool.provider, 0) + len(groups)
    return candidates.FreeDevices(
        providers, {name: min(count, requested[name]) for name, count in free.items()}
    )


def _offer(
    host_state: "HostState",
    request: ServerRequest,
    free_pools: Sequence[pools.Pool],
    matching: Mapping[str, Sequence[pools.Pool]],
    providers: Mapping[str, Container[str | None]] | None,
    units: Mapping[str, int],
) -> tuple[HostGpus, GpuRequest]:
    """Return the devices that the host offers to each request, and the request for GPUs there.

    No more devices of a provider, such as VFs of one PF, are offered than one candidate has:
    Placement may have fewer than the pools show, since some may be reserved, or allocated to
    servers that moved away.

    :param matching: the free pools that match each request
    :param providers: the providers that may be used for each alias; None: Placement does not track
        the devices
    :param units: `HostCandidates.units`
    """
    gpus: dict[str, tuple[FreeGpu, ...]] = {}
    attached: dict[str, tuple[FreeDevice, ...]] = {}
    for alias in request.aliases:
        offered = matching[alias.pci_request.id]
        if providers is not None:
            usable = providers[alias.pci_request.id]
            offered = [
                pool
                if pool.free == 1
                else pool._replace(free=min(pool.free, units.get(pool.provider or "", 1)))
                for pool in offered
                if pool.provider in usable
            ]
        is_gpu = alias.is_gpu
        if is_gpu is None:
            is_gpu = bool(offered) and all(pool.model is not None for pool in offered)
        if is_gpu:
            gpus[alias.pci_request.id] = tuple(gpu for pool in offered for gpu in pool.gpus())
        else:
            most = alias.pci_request.count
            attached[alias.pci_request.id] = tuple(
                d for pool in offered for d in pool.devices(most)
            )
    for port in request.ports:
        found = matching[port.pci_request.id]
        attached[port.pci_request.id] = tuple(
            d for pool in found for d in pool.devices(port.pci_request.count)
        )
    return (
        HostGpus(
            gpus,
            attached,
            _numa_cells(host_state) if request.guest_cells else (),
            frozenset(
                pool.card for pool in free_pools if pool.model is None and pool.card is not None
            ),
        ),
        request.gpu_request(gpus),
    )


def _with_unlisted_providers(
    host_candidates: candidates.HostCandidates,
    request: ServerRequest,
    free_pools: Sequence[pools.Pool],
) -> Mapping[str, Set[str]]:
    """Return the listed providers and those of the same kind that a truncated list leaves out.

    Placement may exclude one of the latter (reserved, allocated to a server that moves). Then the
    claim fails and the scheduler tries the next host, so the caller must use them only if the
    listed ones do not fit. One-time-use devices are usually reserved, and the pools do not show
    traits: both are not added.
    """
    providers = {}
    for alias in request.aliases:
        listed = host_candidates.providers[alias.pci_request.id].keys()
        if alias.pci_request.id not in host_candidates.sample_pools:
            # Kept, since later servers of a multi-create may find all listed devices in use.
            samples = [pool for pool in free_pools if pool.provider in listed]
            host_candidates.sample_pools[alias.pci_request.id] = samples[0] if samples else None
        sample = host_candidates.sample_pools[alias.pci_request.id]
        unlisted = {
            pool.provider
            for pool in free_pools
            if pool.provider is not None
            and "one_time_use" not in pool.raw
            and sample is not None
            and pool.is_same_kind(sample)
        }
        providers[alias.pci_request.id] = listed if alias.has_traits else listed | unlisted
    return providers


def _placement_mismatch(
    host: HostGpus, host_candidates: candidates.HostCandidates
) -> FitRefusal | None:
    """Return a refusal if Placement lists devices that the pools do not offer; else None."""
    for alias, gpus in host.gpus.items():
        listed = host_candidates.providers[alias].keys()
        missing = listed - {gpu.provider for gpu in gpus}
        if missing:
            return FitRefusal(
                FitReason.PLACEMENT,
                f"Placement lists {len(listed)} devices, but {len(missing)} of them are not free "
                f"and matching in the compute node's PCI pools: {', '.join(sorted(missing))}",
            )
    return None


def _numa_cells(host_state: "HostState") -> tuple[NumaCell, ...]:
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
            free_memory_mib(cell),
        )
        for cell in topology.cells
    )
