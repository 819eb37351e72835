# SPDX-License-Identifier: Apache-2.0
"""Fit a request to a host: what the filter and the weigher have in common."""

import functools
import itertools
import random
from collections.abc import Container, Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, NamedTuple

from nova import objects
from nova.virt import hardware

from nova_gpu_passthrough.scheduler import candidates, pools
from nova_gpu_passthrough.scheduler.requests import ServerRequest
from nova_gpu_passthrough.topology import tags
from nova_gpu_passthrough.topology.fit import DeviceChoice, FitReason, FitRefusal, fit
from nova_gpu_passthrough.topology.model import FreeDevice, FreeGpu, GpuRequest, HostGpus, NumaCell

if TYPE_CHECKING:
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
    matching: Mapping[str, Sequence[pools.Pool]] = {
        alias.pci_request.id: [pool for pool in free_pools if pool.serves(alias.specs)]
        for alias in request.aliases + request.ports
    }
    host_candidates = None
    if request.groups and host_state.allocation_candidates:
        host_candidates = candidates.read(
            host_state.allocation_candidates, request.groups, _free_devices(request, matching)
        )
    if host_candidates:
        matching = _limit_to_capacity(request, matching, host_candidates.capacity)
    listed = host_candidates.providers if host_candidates else None
    host, gpu_request = _offer(host_state, request, free_pools, matching, listed)
    if not gpu_request.gpus:
        return Assessment(host, gpu_request, (), None, host_candidates)
    fitted = fit(host, gpu_request, rng)
    if (
        isinstance(fitted, FitRefusal)
        and host_candidates
        and host_candidates.truncated
        and len(request.aliases) > 1
    ):
        # With one alias, even a truncated list has all devices of the host. With several, it may
        # have few of the first alias: others of the same kind are better than a refusal.
        providers = _with_unlisted_providers(host_candidates, request, free_pools)
        larger_host, _ = _offer(host_state, request, free_pools, matching, providers)
        larger_fit = fit(larger_host, gpu_request, rng)
        if not isinstance(larger_fit, FitRefusal):
            host, fitted = larger_host, larger_fit
    if isinstance(fitted, FitRefusal):
        if host_candidates and not isinstance(
            host_state.allocation_candidates[0], candidates.AllocationCandidate
        ):
            fitted = _placement_mismatch(host, host_candidates) or fitted
        return Assessment(host, gpu_request, (), fitted, host_candidates)
    return Assessment(host, gpu_request, fitted, None, host_candidates)


def may_request_gpus(host_state: "HostState", request: ServerRequest) -> bool:
    """Check whether some alias requests GPUs on a host with malformed pools or candidates.

    It does if it requests them on every host, or if a pool that Placement lists for it, or that
    matches it where Placement lists none, has a GPU or any ``gpu_`` tag.
    """
    if request.certainly_gpu:
        return True
    found = getattr(host_state.pci_stats, "pools", None)
    raw_pools = [raw for raw in found if isinstance(raw, dict)] if isinstance(found, list) else []
    listed = _listed_providers(host_state.allocation_candidates, request)
    return any(
        (raw.get("rp_uuid") in listed if listed else _has_properties(raw, alias.specs))
        and (pools.model_of(raw) or any(str(key).startswith(tags.PREFIX) for key in raw))
        for raw in raw_pools
        for alias in request.aliases
    )


def _listed_providers(found: Any, request: ServerRequest) -> set[str]:
    """Return the providers that well-formed candidates list for the aliases."""
    groups = {group for names in request.groups.values() for group in names}
    listed: set[str] = set()
    for candidate in found if isinstance(found, list) else ():
        mappings = candidate.get("mappings") if isinstance(candidate, dict) else None
        if not isinstance(mappings, dict):
            continue
        for group in groups:
            providers = mappings.get(group)
            if isinstance(providers, list):
                listed.update(provider for provider in providers if isinstance(provider, str))
    return listed


def _has_properties(raw: Mapping[str, Any], specs: Iterable[Mapping[str, Any]]) -> bool:
    return any(
        all(str(raw.get(key)).lower() == str(value) for key, value in spec.items())
        for spec in specs
    )


def choices_for_nova(
    host_state: "HostState",
    spec_obj: "objects.RequestSpec",
    choices: Sequence[DeviceChoice],
    most: int,
) -> Sequence[DeviceChoice]:
    """Select the choices that NUMATopologyFilter is to try, the best first.

    :param most: how many at most; choices for NUMA nodes that the guest does not fit do not count
    """
    if guest_certainly_fits(host_state, spec_obj, choices[0]):
        return choices[:1]
    if len(choices) <= most:
        return choices
    fitting_nodes = _NodesOfGuest(host_state, spec_obj)
    fitting = (
        choice
        for choice in choices
        if not choice.node_sets or any(map(fitting_nodes.hold_guest, choice.node_sets))
    )
    if "network_metadata" in spec_obj and spec_obj.network_metadata:
        # Only Nova knows on which nodes the networks are.
        return list(fitting)
    return list(itertools.islice(fitting, most)) or choices[:most]


class _NodesOfGuest:
    """Which NUMA nodes of a host the cells of a guest fit on, by Nova's rules."""

    def __init__(self, host_state: "HostState", spec_obj: "objects.RequestSpec") -> None:
        self._guest = spec_obj.numa_topology
        self._cells = {cell.id: cell for cell in host_state.numa_topology.cells}
        self._limits = _numa_limits(host_state)

    def hold_guest(self, nodes: Set[int]) -> bool:
        """Check whether every cell of the guest fits on a node of its own."""
        numbers = range(len(self._guest.cells))
        return any(
            all(self._holds(node, number) for node, number in zip(order, numbers, strict=False))
            for order in itertools.permutations(nodes, len(numbers))
        )

    @functools.cache  # noqa: B019 (lives as long as one host's choices are selected)
    def _holds(self, node: int, number: int) -> bool:
        guest = objects.InstanceNUMATopology(cells=[self._guest.cells[number].obj_clone()])
        if number == 0 and "emulator_threads_policy" in self._guest:
            # Nova reserves the CPU of the emulator threads beside the first cell.
            guest.emulator_threads_policy = self._guest.emulator_threads_policy
        host = objects.NUMATopology(cells=[self._cells[node]])
        return hardware.numa_fit_instance_to_host(host, guest, None, self._limits) is not None


def _numa_limits(host_state: "HostState") -> "objects.NUMATopologyLimits":
    """Return the limits that NUMATopologyFilter applies."""
    return objects.NUMATopologyLimits(
        cpu_allocation_ratio=host_state.cpu_allocation_ratio,
        ram_allocation_ratio=host_state.ram_allocation_ratio,
    )


def guest_certainly_fits(
    host_state: "HostState", spec_obj: "objects.RequestSpec", choice: DeviceChoice
) -> bool:
    """Check whether Nova fits the guest on exactly the NUMA nodes of the chosen devices.

    If so, every device is local to the guest, which satisfies any NUMA policy, and no second choice
    is needed. If not, a second choice may be needed. The check takes a thirtieth of the time that
    the filters behind GpuPassthroughFilter spend on a second choice.
    """
    if choice.missing_ports:
        return False
    nodes = {device.numa_node for devices in choice.devices.values() for device in devices}
    guest, host = spec_obj.numa_topology, host_state.numa_topology
    if not guest or not host or len(nodes) != len(guest.cells):
        return False
    if len({(len(c.cpuset), len(c.pcpuset), c.memory, c.pagesize) for c in guest.cells}) > 1:
        # With all cells of the host, Nova may refuse a guest with different cells although it fits:
        # Nova caches by the id of the guest cell what fits, and overwrites this id with that of the
        # host cell while it tries (numa_fit_instance_to_host in nova/virt/hardware.py).
        return False
    cells = [cell for cell in host.cells if cell.id in nodes]
    if len(cells) != len(nodes):
        return False
    limits = _numa_limits(host_state)
    if "network_metadata" in spec_obj and spec_obj.network_metadata:
        limits.network_metadata = spec_obj.network_metadata
    # A copy, since Nova writes the pinning into the guest's topology.
    fitted_guest = hardware.numa_fit_instance_to_host(
        objects.NUMATopology(cells=cells), guest.obj_clone(), None, limits=limits
    )
    return fitted_guest is not None


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
) -> Mapping[str, Mapping[str, int]] | None:
    """Return how many devices are free, by alias and provider; None for a guest with pinned CPUs.

    For such a guest Nova adds candidates with VCPU instead of PCPU (nova/scheduler/manager.py).
    """
    if any(cell.pinned_cpus for cell in request.guest_cells):
        return None
    return {
        alias: {pool.provider: pool.free for pool in alias_pools if pool.provider is not None}
        for alias, alias_pools in matching.items()
    }


def _limit_to_capacity(
    request: ServerRequest,
    matching: Mapping[str, Sequence[pools.Pool]],
    capacity: Mapping[str, int],
) -> Mapping[str, Sequence[pools.Pool]]:
    """Offer no more devices of a provider, such as VFs of one PF, than its candidates have.

    Placement may have fewer than the pools show: some may be reserved, or allocated to servers
    that moved away.
    """
    aliases = {alias.pci_request.id for alias in request.aliases}
    return {
        request_id: [
            pool._replace(free=min(pool.free, capacity.get(pool.provider, 1)))
            if pool.free > 1 and pool.provider is not None and request_id in aliases
            else pool
            for pool in found
        ]
        for request_id, found in matching.items()
    }


def _offer(
    host_state: "HostState",
    request: ServerRequest,
    free_pools: Sequence[pools.Pool],
    matching: Mapping[str, Sequence[pools.Pool]],
    providers: Mapping[str, Container[str | None]] | None,
) -> tuple[HostGpus, GpuRequest]:
    """Return the devices that the host offers to each alias, and the request for GPUs there.

    :param matching: the free pools that match each alias
    :param providers: the providers that may be used for each alias; None: Placement does not track
        the devices
    """
    gpus: dict[str, tuple[FreeGpu, ...]] = {}
    attached: dict[str, tuple[FreeDevice, ...]] = {}
    for alias in request.aliases:
        offered = matching[alias.pci_request.id]
        if providers is not None:
            usable = providers[alias.pci_request.id]
            offered = [pool for pool in offered if pool.provider in usable]
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
