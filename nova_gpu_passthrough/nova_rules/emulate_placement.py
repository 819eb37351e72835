# SPDX-License-Identifier: Apache-2.0
"""Put one more server on a host as Placement, the filters and the claim would, or say why not."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from nova_gpu_passthrough.nova_rules.guest_fit import (
    GuestState,
    Suits,
    TakenCell,
    fit_guest,
    page_size_for,
)
from nova_gpu_passthrough.nova_rules.guest_topology import Guest, ThreadPolicy
from nova_gpu_passthrough.nova_rules.host_capacity import Needs, Query, Room
from nova_gpu_passthrough.nova_rules.host_cell import HostCell
from nova_gpu_passthrough.nova_rules.why_not import CAUSE_OF, Cause, Refused, Stage
from nova_gpu_passthrough.topology.fit import DeviceChoice, Refusal, fit
from nova_gpu_passthrough.topology.model import Demand, Device, Gpu, HostGpus, NumaPolicy
from nova_gpu_passthrough.topology.numa import on_nodes

#: What a shortage of a resource class of Placement is.
CAUSES = {
    "VCPU": Cause.VCPUS,
    "PCPU": Cause.VCPUS,
    "MEMORY_MB": Cause.RAM,
    "DISK_GB": Cause.DISK,
}


def nodes(room: Room, needs: Needs) -> str:
    """The guest's cells, and what each node has left of what they need."""
    guest = needs.guest
    shapes = []
    for cell in dict.fromkeys(guest.cells):
        cpus = [f"{cell.pinned_cpus} pinned"] if cell.pinned_cpus else []
        cpus += [f"{cell.shared_cpus} shared"] if cell.shared_cpus or not cpus else []
        number = guest.cells.count(cell)
        shapes.append(f"{number} x ({' and '.join(cpus)} CPUs, {cell.memory_mib} MiB)")
    has = "; ".join(_node(room, needs, cell) for cell in room.cells)
    return f"the guest needs {', '.join(shapes)}; {has}"


def relaxed(room: Room) -> Iterator[tuple[Cause, Room]]:
    """The room with all CPUs free, with all memory free, and with both."""
    cpus = tuple(replace(cell, pinned=frozenset(), shared_used=0) for cell in room.cells)
    yield Cause.VCPUS, replace(room, cells=cpus)
    yield Cause.RAM, replace(room, cells=tuple(map(_with_memory, room.cells)))
    yield Cause.VCPUS, replace(room, cells=tuple(map(_with_memory, cpus)))


def _with_memory(cell: HostCell) -> HostCell:
    return replace(cell, used_mib=0, pages=tuple(replace(pages, used=0) for pages in cell.pages))


def _node(room: Room, needs: Needs, cell: HostCell) -> str:
    guest = needs.guest
    parts = []
    if needs.kinds:
        gpus = sum(
            device.free
            for device in room.devices
            if device.device.numa_node == cell.id
            and any(device.is_of(kind) for _, kind in needs.kinds)
        )
        parts.append(f"{gpus} free devices of the kind")
    if guest.pins:
        parts.append(f"{len(cell.free_pinned)} of {len(cell.dedicated)} CPUs free for pinning")
    else:
        parts.append(f"{len(cell.shared)} shared CPUs with {cell.shared_used} vCPUs on them")
    parts.append(_memory(guest, cell))
    return f"node {cell.id} has {', '.join(parts)}"


def _memory(guest: Guest, cell: HostCell) -> str:
    if guest.page_size is None or not cell.pages:
        return f"{cell.as_numa_cell().free_memory_mib} of {cell.memory_mib} MiB free"
    wanted = min(one.memory_mib for one in guest.cells)
    size = page_size_for(cell, guest.page_size, wanted)
    if size is not None:
        return f"enough memory in pages of {size} KiB"
    free = ", ".join(f"{p.free_kib // 1024} MiB in pages of {p.size_kib} KiB" for p in cell.pages)
    return f"free: {free}"


#: Default of ``[gpu_passthrough] max_candidates``.
MAX_CHOICES = 8


class Placed(NamedTuple):
    """A server on a host."""

    #: What it leaves of the host.
    room: Room
    #: What its devices were chosen from, and the choice; None if it asks for none.
    host: HostGpus
    choice: DeviceChoice | None
    #: What its NUMA cells take of the host's.
    cells: tuple[TakenCell, ...]


def place(room: Room, needs: Needs, max_choices: int = MAX_CHOICES) -> Placed | Refused:
    """Put a server on a host.

    :param max_choices: how many choices of devices the filter leaves to Nova's
    """
    query = ask_placement(room, needs)
    if isinstance(query, Refused):
        return query
    host = room.offers(needs)
    choices: Sequence[DeviceChoice | None] = (None,)
    if needs.request.gpus:
        answer = fit(host, needs.request)
        if isinstance(answer, Refusal):
            return _by_filter(room, needs, answer)
        choices = answer[: max_choices if needs.guest.cells else 1]
    taken = _claim(room, needs, host, choices)
    if isinstance(taken, Refused):
        return taken
    choice, used = taken
    cells = _cells_left(room, needs, used)
    if isinstance(cells, Refused):
        return cells
    devices = [d for chosen in choice.devices.values() for d in chosen] if choice else []
    return Placed(room.without(query.resources, devices, cells), host, choice, used)


def count(room: Room, needs: Needs, max_choices: int = MAX_CHOICES) -> tuple[int, Refused]:
    """How many such servers fit one after the other, and what refuses the next.

    Where GPUs run out together with something else, it is said of the GPUs.
    """
    placed = 0
    while True:
        answer = place(room, needs, max_choices)
        if isinstance(answer, Refused):
            return placed, _lacking_devices(room, needs) or answer
        placed += 1
        room = answer.room


def ask_placement(room: Room, needs: Needs) -> Query | Refused:
    """The query that Placement answers with this host, or why it does not name the host."""
    refused = _lacking(room, needs.query)
    query = needs.query
    if refused and needs.fallback is not None and not _lacking(room, needs.fallback):
        refused, query = None, needs.fallback
    return refused or _lacking_devices(room, needs) or query


def _by_filter(room: Room, needs: Needs, refusal: Refusal) -> Refused:
    """What the GPU filter says, and what of the host is short."""
    cause, detail = CAUSE_OF[refusal.reason], refusal.detail
    if cause is Cause.NUMA and needs.guest.cells and room.cells:
        cause = _numa_cause(room, needs)
        detail = f"{detail}; {nodes(room, needs)}"
    return Refused(cause, detail, Stage.GPU_FILTER, refusal.reason)


def _lacking(room: Room, query: Query) -> Refused | None:
    """The first trait or resource for which Placement does not name the host."""
    missing = sorted(query.required - room.traits)
    unwanted = sorted(query.forbidden & room.traits)
    if missing or unwanted:
        detail = (
            f"the host lacks the trait {', '.join(missing)}"
            if missing
            else f"the host has the trait {', '.join(unwanted)}, which is forbidden"
        )
        return Refused(Cause.TRAITS, detail, Stage.PLACEMENT)
    amounts = room.amounts
    for name, wanted in query.resources:
        amount = amounts.get(name)
        if amount is None:
            numbers = "the host has none"
        elif wanted > amount.free:
            numbers = f"{amount.free} of {amount.capacity} free"
        elif wanted > amount.max_unit:
            numbers = f"one server can have {amount.max_unit}"
        else:
            continue
        cause = CAUSES.get(name, Cause.RESOURCE)
        return Refused(cause, f"{name}: {wanted} wanted, {numbers}", Stage.PLACEMENT)
    return None


def _lacking_devices(room: Room, needs: Needs) -> Refused | None:
    gpus = {demand.id for demand in needs.request.gpus}
    for kind in dict.fromkeys(kind for _, kind in needs.demands):
        demands = [demand for demand, other in needs.demands if other == kind]
        wanted = sum(demand.count for demand in demands)
        devices = room.of(kind)
        free = sum(device.free for device in devices)
        if free >= wanted:
            continue
        numbers = [f"{wanted} wanted", f"{free} free"]
        for number, word in (
            (sum(device.in_use for device in devices), "in use"),
            (sum(device.reserved for device in devices), "reserved"),
        ):
            if number:
                numbers.append(f"{number} {word}")
        traits = ""
        if kind.required:
            traits = f" with trait {', '.join(sorted(kind.required))}"
        return Refused(
            Cause.GPUS if demands[0].id in gpus else Cause.DEVICES,
            f"{kind.resource_class}{traits}: {', '.join(numbers)}",
            Stage.PLACEMENT,
        )
    return None


def _claim(
    room: Room, needs: Needs, host: HostGpus, choices: Sequence[DeviceChoice | None]
) -> tuple[DeviceChoice | None, tuple[TakenCell, ...]] | Refused:
    """The first choice that NUMATopologyFilter accepts, and what the claim then takes."""
    if not needs.guest.cells:
        return choices[0], ()
    if not room.cells:
        return Refused(Cause.NUMA, "the host reports no NUMA topology", Stage.NUMA_FILTER)
    state = GuestState(needs.guest)
    for choice in choices:
        if _fit(room, needs, host, state, choice) is None:
            continue
        # The compute node starts anew; the filter went on from what earlier choices left behind.
        taken = _fit(room, needs, host, GuestState(needs.guest), choice)
        if taken is None:
            return Refused(Cause.NUMA, f"the claim fails; {nodes(room, needs)}", Stage.CLAIM)
        return choice, taken
    detail = nodes(room, needs)
    if needs.request.gpus:
        detail = f"no NUMA nodes suit both the guest and its devices; {detail}"
    return Refused(_numa_cause(room, needs), detail, Stage.NUMA_FILTER)


def _fit(
    room: Room, needs: Needs, host: HostGpus, state: GuestState, choice: DeviceChoice | None
) -> tuple[TakenCell, ...] | None:
    by_node = room.devices_by_node() if room.devices else None
    if choice is None:
        return fit_guest(room.cells, state, room.ratios, devices=by_node)
    return fit_guest(
        room.cells, state, room.ratios, _suits(room, needs, host, choice), by_node, True
    )


def _suits(room: Room, needs: Needs, host: HostGpus, choice: DeviceChoice) -> Suits:
    """Tells whether Nova lets a guest on given nodes have these devices (``_filter_pools``)."""
    blind = any(cell.socket is None for cell in room.cells)
    parts: list[tuple[Demand, list[Device], set[Device]]] = []
    gone: set[Device] = set()
    for demand, kind in needs.demands:
        free = [u for d in room.of(kind) for u in d.units(pooled=True) if u not in gone]
        mine = set(map(_unit, choice.devices[demand.id]))
        parts.append((demand, free, mine))
        gone |= mine

    def suits(nodes: Sequence[int]) -> bool:
        for demand, free, mine in parts:
            policy, wanted = demand.numa_policy, demand.count
            if policy is NumaPolicy.SOCKET and blind:
                # Then nothing but the guest's own nodes counts.
                policy = NumaPolicy.REQUIRED
            usable = on_nodes(
                host, needs.request, policy, free, frozenset(nodes), wanted, are_gpus=False
            )
            if len(usable) < wanted or not mine <= set(usable):
                return False
        return True

    return suits


def _unit(device: Gpu | Device) -> Device:
    return Device(
        device.address,
        device.numa_node,
        device.switch,
        device.card,
        device.provider,
        device.ordinal,
    )


def _cells_left(
    room: Room, needs: Needs, taken: Sequence[TakenCell]
) -> tuple[HostCell, ...] | Refused:
    isolate = needs.guest.thread_policy is ThreadPolicy.ISOLATE
    left = {cell.id: cell for cell in room.cells}
    for one in taken:
        try:
            left[one.node] = one.of(left[one.node], isolate)
        except ValueError as error:
            return Refused(
                Cause.NUMA,
                "Nova fits the server and then fails to pin it: it gives a guest cell CPUs that "
                f"are not the NUMA node's or not free ({error})",
                Stage.CLAIM,
            )
    return tuple(left.values())


def _numa_cause(room: Room, needs: Needs) -> Cause:
    """What other servers have of the host's nodes, so that this one does not fit."""
    for cause, easier in relaxed(room):
        if easier != room and _fits(easier, needs):
            return cause
    return Cause.NUMA


def _fits(room: Room, needs: Needs) -> bool:
    host = room.offers(needs)
    choices: Sequence[DeviceChoice | None] = (None,)
    if needs.request.gpus:
        answer = fit(host, needs.request)
        if isinstance(answer, Refusal):
            return False
        choices = answer
    return any(
        _fit(room, needs, host, GuestState(needs.guest), choice) is not None for choice in choices
    )
