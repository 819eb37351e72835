# SPDX-License-Identifier: Apache-2.0
"""Fit one more server on a host as Placement, the filters and the claim do, or say why not.

Restates ``GET /allocation_candidates`` of Placement for one host, the second request with VCPU in
``select_destinations`` (nova/scheduler/manager.py), ``NUMATopologyFilter`` and the claim of
nova-compute, around the choice of GpuPassthroughFilter (`topology.fit`).
"""

import itertools
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from typing import NamedTuple

from nova_gpu_passthrough.nova_rules.guest_fit import (
    CellUsage,
    GuestFitState,
    NodeCheck,
    fit_guest,
    page_size_for,
)
from nova_gpu_passthrough.nova_rules.guest_topology import GuestTopology, ThreadPolicy
from nova_gpu_passthrough.nova_rules.host_capacity import (
    DeviceClass,
    HostCapacity,
    PlacementQuery,
    ServerDemand,
)
from nova_gpu_passthrough.nova_rules.host_cell import HostCell
from nova_gpu_passthrough.nova_rules.refusal import (
    CONSTRAINT_OF,
    Constraint,
    FailedConstraint,
    Refusal,
    Stage,
)
from nova_gpu_passthrough.topology.fit import DeviceChoice, FitRefusal, fit
from nova_gpu_passthrough.topology.matching import match
from nova_gpu_passthrough.topology.model import (
    FreeDevice,
    FreeGpu,
    HostGpus,
    NumaPolicy,
    PciRequest,
)
from nova_gpu_passthrough.topology.numa import usable_devices

#: The constraint of each resource class of Placement; `Constraint.RESOURCE` for all others.
CONSTRAINTS = {
    "VCPU": Constraint.VCPUS,
    "PCPU": Constraint.VCPUS,
    "MEMORY_MB": Constraint.RAM,
    "DISK_GB": Constraint.DISK,
}
#: Default of ``[gpu_passthrough] max_candidates``.
MAX_CHOICES = 8


class ServerFit(NamedTuple):
    """A server that fits on a host."""

    #: The capacity that the server leaves.
    remaining: HostCapacity
    #: The devices from which the choice was made.
    host: HostGpus
    #: None if the server requests no devices.
    choice: DeviceChoice | None
    #: The usage of the host's NUMA cells by the guest's cells.
    cells: tuple[CellUsage, ...]


def fit_server(
    capacity: HostCapacity, demand: ServerDemand, max_choices: int = MAX_CHOICES
) -> ServerFit | Refusal:
    """Fit a server on a host.

    :param max_choices: ``[gpu_passthrough] max_candidates``
    """
    query = query_placement(capacity, demand)
    if isinstance(query, Refusal):
        return query
    host = capacity.host_gpus(demand)
    choices: Sequence[DeviceChoice | None] = (None,)
    if demand.request.gpus:
        fitted = fit(host, demand.request)
        if isinstance(fitted, FitRefusal):
            return _refusal_by_filter(capacity, demand, fitted)
        choices = fitted[:1]
        if demand.guest.cells:
            choices = _choices_for_nova(capacity, demand, fitted, max_choices)
    claimed = _claim(capacity, demand, host, choices)
    if isinstance(claimed, Refusal):
        return claimed
    choice, usage = claimed
    cells = _cells_after(capacity, demand, usage)
    if isinstance(cells, Refusal):
        return cells
    devices = [d for chosen in choice.devices.values() for d in chosen] if choice else []
    return ServerFit(capacity.consume(query.resources, devices, cells), host, choice, usage)


def query_placement(capacity: HostCapacity, demand: ServerDemand) -> PlacementQuery | Refusal:
    """Return the query for which Placement returns the host, or why there is none."""
    failed = list(_failed_by_query(capacity, demand.query))
    query = demand.query
    if failed and demand.fallback and not any(_failed_by_query(capacity, demand.fallback)):
        failed, query = [], demand.fallback
    return Refusal.of([*_lacking_devices(capacity, demand), *failed], Stage.PLACEMENT) or query


def describe_nodes(capacity: HostCapacity, demand: ServerDemand) -> str:
    """Describe what the guest's cells request, and what is free on each NUMA node of the host."""
    guest = demand.guest
    shapes = []
    for cell in dict.fromkeys(guest.cells):
        cpus = [f"{cell.pinned_cpus} pinned"] if cell.pinned_cpus else []
        cpus += [f"{cell.shared_cpus} shared"] if cell.shared_cpus or not cpus else []
        count = guest.cells.count(cell)
        shapes.append(f"{count} x ({' and '.join(cpus)} CPUs, {cell.memory_mib} MiB)")
    nodes = "; ".join(_describe_node(capacity, demand, cell) for cell in capacity.cells)
    return f"the guest needs {', '.join(shapes)}; {nodes}"


def _describe_node(capacity: HostCapacity, demand: ServerDemand, cell: HostCell) -> str:
    guest = demand.guest
    amounts = []
    if demand.device_classes:
        free = sum(
            device.free
            for device in capacity.devices
            if device.device.numa_node == cell.id
            and any(device.matches(device_class) for _, device_class in demand.device_classes)
        )
        amounts.append(f"{free} free matching devices")
    if guest.pins:
        amounts.append(f"{len(cell.free_pinned)} of {len(cell.dedicated)} CPUs free for pinning")
    else:
        amounts.append(f"{len(cell.shared)} shared CPUs with {cell.shared_used} vCPUs on them")
    amounts.append(_describe_memory(guest, cell))
    return f"node {cell.id} has {', '.join(amounts)}"


def _describe_memory(guest: GuestTopology, cell: HostCell) -> str:
    if guest.page_size is None or not cell.pages:
        return f"{cell.as_numa_cell().free_memory_mib} of {cell.memory_mib} MiB free"
    smallest = min(one.memory_mib for one in guest.cells)
    size = page_size_for(cell, guest.page_size, smallest)
    if size is not None:
        return f"enough memory in pages of {size} KiB"
    free = ", ".join(f"{p.free_kib // 1024} MiB in pages of {p.size_kib} KiB" for p in cell.pages)
    return f"free: {free}"


def _refusal_by_filter(
    capacity: HostCapacity, demand: ServerDemand, refusal: FitRefusal
) -> Refusal:
    """Return the refusal of GpuPassthroughFilter with the constraint of the host behind it."""
    constraint, detail = CONSTRAINT_OF[refusal.reason], refusal.detail
    if constraint is Constraint.NUMA and demand.guest.cells and capacity.cells:
        constraint = _numa_constraint(capacity, demand)
        detail = f"{detail}; {describe_nodes(capacity, demand)}"
    return Refusal(constraint, detail, Stage.GPU_FILTER, refusal.reason)


def _failed_by_query(capacity: HostCapacity, query: PlacementQuery) -> Iterator[FailedConstraint]:
    """Yield the traits and resources that Placement does not find on the host."""
    missing = sorted(query.required - capacity.traits)
    if missing:
        yield FailedConstraint(Constraint.TRAITS, f"the host lacks the trait {', '.join(missing)}")
    forbidden = sorted(query.forbidden & capacity.traits)
    if forbidden:
        yield FailedConstraint(
            Constraint.TRAITS,
            f"the host has the trait {', '.join(forbidden)}, which is forbidden",
        )
    amounts = capacity.amounts
    for name, requested in query.resources:
        amount = amounts.get(name)
        if amount is None:
            numbers = "the host has none"
        elif requested > amount.free:
            numbers = f"{amount.free} of {amount.capacity} free"
        elif requested > amount.max_unit:
            numbers = f"one server can have {amount.max_unit}"
        else:
            continue
        yield FailedConstraint(
            CONSTRAINTS.get(name, Constraint.RESOURCE), f"{name}: {requested} requested, {numbers}"
        )


def _lacking_devices(capacity: HostCapacity, demand: ServerDemand) -> Iterator[FailedConstraint]:
    """Yield the device classes of which the host has too few free devices, GPUs first."""
    gpus = {request.id for request in demand.request.gpus}
    by_class: dict[DeviceClass, list[PciRequest]] = {}
    for request, device_class in demand.pci_requests:
        by_class.setdefault(device_class, []).append(request)
    for device_class, requests in sorted(
        by_class.items(), key=lambda item: item[1][0].id not in gpus
    ):
        requested = sum(request.count for request in requests)
        devices = capacity.devices_of(device_class)
        free = sum(device.free for device in devices)
        if free >= requested:
            continue
        numbers = [f"{requested} requested", f"{free} free" if devices else "the host has none"]
        for count, word in (
            (sum(device.in_use for device in devices), "in use"),
            (sum(device.stuck for device in devices), "stuck"),
            (sum(device.reserved for device in devices), "reserved"),
        ):
            if count:
                numbers.append(f"{count} {word}")
        traits = ""
        if device_class.required:
            traits = f" with trait {', '.join(sorted(device_class.required))}"
        yield FailedConstraint(
            Constraint.GPUS if requests[0].id in gpus else Constraint.DEVICES,
            f"{device_class.resource_class}{traits}: {', '.join(numbers)}",
        )


def _choices_for_nova(
    capacity: HostCapacity, demand: ServerDemand, choices: Sequence[DeviceChoice], most: int
) -> Sequence[DeviceChoice]:
    """Return the choices that GpuPassthroughFilter leaves to NUMATopologyFilter.

    Restates ``choices_for_nova`` in nova_gpu_passthrough/scheduler/guest_nodes.py: choices for NUMA
    nodes that the guest does not fit do not count. It leaves out only choices that do not matter if
    the first one fits.
    """
    if len(choices) <= most:
        return choices
    fitting = (
        choice
        for choice in choices
        if any(_guest_fits_on(capacity, demand, nodes) for nodes in choice.node_sets)
    )
    return list(itertools.islice(fitting, most)) or choices[:most]


def _guest_fits_on(capacity: HostCapacity, demand: ServerDemand, nodes: Set[int]) -> bool:
    """Check whether every cell of the guest fits on a node of its own, without its devices."""
    guest = demand.guest
    guests = [
        # The CPU of the emulator threads is beside the first cell.
        replace(guest, cells=(cell,), emulator_isolated=guest.emulator_isolated and not index)
        for index, cell in enumerate(guest.cells)
    ]
    cells = [cell for cell in capacity.cells if cell.id in nodes]
    options = [
        [c.id for c in cells if fit_guest([c], GuestFitState(one), capacity.ratios)]
        for one in guests
    ]
    return match(options) is not None


def _claim(
    capacity: HostCapacity,
    demand: ServerDemand,
    host: HostGpus,
    choices: Sequence[DeviceChoice | None],
) -> tuple[DeviceChoice | None, tuple[CellUsage, ...]] | Refusal:
    """Return the first choice that NUMATopologyFilter accepts, with the usage of the claim."""
    if not demand.guest.cells:
        return choices[0], ()
    if not capacity.cells:
        return Refusal(Constraint.NUMA, "the host reports no NUMA topology", Stage.NUMA_FILTER)
    state = GuestFitState(demand.guest)
    for choice in choices:
        if _fit_guest(capacity, demand, host, state, choice) is None:
            continue
        # The filter reuses the guest's cells for every choice; the claim starts with new ones.
        usage = _fit_guest(capacity, demand, host, GuestFitState(demand.guest), choice)
        if usage is None:
            detail = f"the claim fails; {describe_nodes(capacity, demand)}"
            return Refusal(Constraint.NUMA, detail, Stage.CLAIM)
        return choice, usage
    detail = describe_nodes(capacity, demand)
    if demand.request.gpus:
        detail = f"no NUMA nodes suit both the guest and its devices; {detail}"
    return Refusal(_numa_constraint(capacity, demand), detail, Stage.NUMA_FILTER)


def _fit_guest(
    capacity: HostCapacity,
    demand: ServerDemand,
    host: HostGpus,
    state: GuestFitState,
    choice: DeviceChoice | None,
) -> tuple[CellUsage, ...] | None:
    by_node = capacity.free_devices_by_node() if capacity.devices else None
    if choice is None:
        return fit_guest(capacity.cells, state, capacity.ratios, devices=by_node)
    check = _device_check(capacity, demand, host, choice)
    return fit_guest(capacity.cells, state, capacity.ratios, check, by_node, True)


def _device_check(
    capacity: HostCapacity, demand: ServerDemand, host: HostGpus, choice: DeviceChoice
) -> NodeCheck:
    """Return a check whether Nova gives these devices to a guest on given NUMA nodes.

    Restates ``PciDeviceStats._filter_pools`` in nova/pci/stats.py.
    """
    sockets_unknown = any(cell.socket is None for cell in capacity.cells)
    checked: list[tuple[PciRequest, list[FreeDevice], set[FreeDevice]]] = []
    consumed: set[FreeDevice] = set()
    for request, device_class in demand.pci_requests:
        free = [
            unit
            for device in capacity.devices_of(device_class)
            for unit in device.free_units(pooled=True)
            if unit not in consumed
        ]
        chosen = set(map(_plain_device, choice.devices[request.id]))
        checked.append((request, free, chosen))
        consumed |= chosen

    def nodes_allowed(nodes: Sequence[int]) -> bool:
        for request, free, chosen in checked:
            policy, count = request.numa_policy, request.count
            if policy is NumaPolicy.SOCKET and sockets_unknown:
                # Nova then allows only the guest's own nodes.
                policy = NumaPolicy.REQUIRED
            usable = usable_devices(
                host, demand.request, policy, free, frozenset(nodes), count, are_gpus=False
            )
            if len(usable) < count or not chosen <= set(usable):
                return False
        return True

    return nodes_allowed


def _plain_device(device: FreeGpu | FreeDevice) -> FreeDevice:
    return FreeDevice(
        device.address,
        device.numa_node,
        device.switch,
        device.card,
        device.provider,
        device.ordinal,
    )


def _cells_after(
    capacity: HostCapacity, demand: ServerDemand, usage: Sequence[CellUsage]
) -> tuple[HostCell, ...] | Refusal:
    """Return the host's NUMA cells after the claim."""
    isolate = demand.guest.thread_policy is ThreadPolicy.ISOLATE
    cells = {cell.id: cell for cell in capacity.cells}
    for one in usage:
        try:
            cells[one.node] = one.apply_to(cells[one.node], isolate)
        except ValueError as error:
            return Refusal(
                Constraint.NUMA,
                "Nova fits the server and then fails to pin it: it gives a guest cell CPUs that "
                f"are not on its NUMA node or not free ({error})",
                Stage.CLAIM,
            )
    return tuple(cells.values())


def _numa_constraint(capacity: HostCapacity, demand: ServerDemand) -> Constraint:
    """Return what would have to be free on the host's NUMA nodes so that the server fits."""
    for constraint, relaxed in _relaxed_capacities(capacity):
        if relaxed != capacity and _fits_ignoring_placement(relaxed, demand):
            return constraint
    return Constraint.NUMA


def _relaxed_capacities(capacity: HostCapacity) -> Iterator[tuple[Constraint, HostCapacity]]:
    """Yield the capacity with all CPUs free, with all memory free, and with both."""
    cpus = tuple(replace(cell, pinned=frozenset(), shared_used=0) for cell in capacity.cells)
    yield Constraint.VCPUS, replace(capacity, cells=cpus)
    yield Constraint.RAM, replace(capacity, cells=tuple(map(_with_free_memory, capacity.cells)))
    yield Constraint.VCPUS, replace(capacity, cells=tuple(map(_with_free_memory, cpus)))


def _with_free_memory(cell: HostCell) -> HostCell:
    return replace(cell, used_mib=0, pages=tuple(replace(pages, used=0) for pages in cell.pages))


def _fits_ignoring_placement(capacity: HostCapacity, demand: ServerDemand) -> bool:
    host = capacity.host_gpus(demand)
    choices: Sequence[DeviceChoice | None] = (None,)
    if demand.request.gpus:
        fitted = fit(host, demand.request)
        if isinstance(fitted, FitRefusal):
            return False
        choices = fitted
    return any(
        _fit_guest(capacity, demand, host, GuestFitState(demand.guest), choice) is not None
        for choice in choices
    )
