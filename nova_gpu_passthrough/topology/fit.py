# SPDX-License-Identifier: Apache-2.0
"""Fit a request to the free devices of a host.

The request is tried on every set of NUMA nodes that its policies allow, so that the caller can
offer Nova one choice per set: Nova decides whether the guest's vCPUs and memory fit there.
"""

import enum
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from nova_gpu_passthrough.topology.attachment import (
    choose_attached,
    companion_requests,
    companions_by_gpu,
    distance,
)
from nova_gpu_passthrough.topology.choice import choose
from nova_gpu_passthrough.topology.matching import assign
from nova_gpu_passthrough.topology.model import (
    MAX_GPUS,
    FreeDevice,
    FreeGpu,
    GpuRequest,
    HostGpus,
    NumaPolicy,
    PciRequest,
    Preference,
)
from nova_gpu_passthrough.topology.numa import node_sets, usable_devices
from nova_gpu_passthrough.topology.search import ChoiceRules, Cost, SearchBudget

#: How many sets of NUMA nodes are tried to find which constraint to report.
_MAX_RELAXED_SETS = 32


class FitReason(enum.Enum):
    """The reason why a host is refused; log messages count hosts by its value."""

    INVALID_REQUEST = "invalid request"
    NO_GPUS = "no free GPU of that kind"
    TOO_FEW_GPUS = "too few free GPUs"
    TOO_FEW_DEVICES = "too few free devices of another alias"
    COMPANIONS = "companion functions of the cards are not free"
    LINK = "free GPUs are not in one link group"
    SWITCH = "free GPUs are not behind one PCIe switch"
    NUMA = "free GPUs are not on allowed NUMA nodes"
    GUEST_NUMA = "no NUMA nodes with room for the guest's vCPUs and memory"
    PLACEMENT = "Placement and the compute node disagree on what is free"
    MALFORMED = "malformed host data"


class FitRefusal(NamedTuple):
    """The first constraint that a host does not meet, with numbers."""

    reason: FitReason
    detail: str


class DeviceChoice(NamedTuple):
    """The devices of one host for every PCI request of a server."""

    #: By `PciRequest.id`, in the order of the host's devices.
    devices: Mapping[str, tuple[FreeGpu | FreeDevice, ...]]
    gpus: tuple[FreeGpu, ...]
    cost: Cost
    #: Sum over the attached devices: 0 for one on the card or switch of a chosen GPU, 1 for one
    #: on its NUMA node, 2 for any other.
    distance: int
    #: SR-IOV ports for which no free device is usable.
    missing_ports: int = 0
    #: The sets of NUMA nodes that the guest's cells may be on; empty if it has no cells.
    node_sets: tuple[frozenset[int], ...] = ()

    @property
    def numa_nodes(self) -> set[int | None]:
        """Return the host NUMA nodes of the chosen GPUs."""
        return {gpu.numa_node for gpu in self.gpus}

    @property
    def quality(self) -> float:
        """Return 0 to 1: 1 for GPUs on one NUMA node, in one link group and behind one switch.

        NUMA weighs most, then links, then switches.
        """
        cost = self.cost
        links = 1 / (1 + cost.link_splits)
        switches = 1 / max(1, cost.switches)
        return 0.5 / max(1, cost.numa_nodes) + 0.4 * links + 0.1 * switches

    @property
    def numa_quality(self) -> float:
        """Return 1 for GPUs on one NUMA node, 1/2 for two nodes and so on."""
        return 1 / max(1, self.cost.numa_nodes)

    def fit_key(self) -> tuple[int, ...]:
        """Return how well the choice serves the server; the smaller the better."""
        return (self.missing_ports, *self.cost.of_server, self.distance)

    def sort_key(self) -> tuple[object, ...]:
        """Return `fit_key` and what the choice leaves for other servers; the smaller the better."""
        return (*self.fit_key(), *self.cost.of_others)


def fit(
    host: HostGpus, request: GpuRequest, rng: random.Random | None = None
) -> list[DeviceChoice] | FitRefusal:
    """Return the best choice for every allowed set of NUMA nodes, best first, or a refusal.

    :param rng: chooses among equally good sets; without it the lowest addresses win
    """
    refusal = check_request(request) or _check_counts(host, request)
    if refusal:
        return refusal
    if request.guest_cells and not host.cells:
        return FitRefusal(FitReason.GUEST_NUMA, "the host reports no NUMA topology")
    choices: dict[tuple[object, ...], DeviceChoice] = {}
    budget = SearchBudget()
    tried = 0
    for nodes in node_sets(host, request):
        if choices and budget.exhausted:
            break
        tried += 1
        choice = _choose_on(host, request, nodes, rng, budget)
        if choice is None:
            continue
        # Candidates do not name the devices of ports, so these do not make another choice.
        chosen = (d for r in request.gpus + request.attached for d in choice.devices[r.id])
        key = tuple(sorted(map(_device_key, chosen)))
        known = choices.get(key)
        if known is not None:
            best = min(known, choice, key=DeviceChoice.sort_key)
            choice = best._replace(node_sets=known.node_sets + choice.node_sets)
        choices[key] = choice
    if not choices:
        return _why_not(host, request, tried)
    return sorted(choices.values(), key=DeviceChoice.sort_key)


def check_request(request: GpuRequest) -> FitRefusal | None:
    """Refuse a request that no host can serve."""
    for pci_request in request.gpus + request.attached:
        if not 0 < pci_request.count <= MAX_GPUS:
            return FitRefusal(
                FitReason.INVALID_REQUEST,
                f"alias {pci_request.alias}: {pci_request.count} devices requested, "
                f"expected 1 to {MAX_GPUS}; fix pci_passthrough:alias in the flavor",
            )
    return None


def _check_counts(host: HostGpus, request: GpuRequest) -> FitRefusal | None:
    for pci_requests in _grouped_gpu_requests(host, request):
        free = len(host.gpus[pci_requests[0].id])
        requested = _count(pci_requests)
        if free < requested:
            return FitRefusal(
                FitReason.TOO_FEW_GPUS if free else FitReason.NO_GPUS,
                f"{', '.join(r.alias for r in pci_requests)}: {requested} requested, {free} free",
            )
    for pci_request in request.attached:
        free = len(host.attached[pci_request.id])
        if free < pci_request.count:
            return FitRefusal(
                FitReason.TOO_FEW_DEVICES,
                f"{pci_request.alias}: {pci_request.count} requested, {free} free",
            )
    return None


def _choose_on(
    host: HostGpus,
    request: GpuRequest,
    nodes: frozenset[int] | None,
    rng: random.Random | None,
    budget: SearchBudget,
) -> DeviceChoice | None:
    """Return the best choice with the guest's cells, if it has any, on these NUMA nodes."""
    devices: dict[str, tuple[FreeGpu | FreeDevice, ...]] = {}
    chosen: list[FreeGpu] = []
    costs: list[Cost] = []
    companions = companion_requests(host, request)
    groups = _grouped_gpu_requests(host, request)
    # With several groups, no single search knows which cards the companions come from.
    counted = companions if len(groups) == 1 else ()
    for index, pci_requests in enumerate(groups):
        best = _choose_gpus(host, request, nodes, groups[index:], chosen, counted, rng, budget)
        if best is None:
            return None
        gpus = iter(best[0])
        for pci_request in pci_requests:
            devices[pci_request.id] = tuple(itertools.islice(gpus, pci_request.count))
        chosen += best[0]
        costs.append(best[1])
    far = missing_ports = 0
    others = request.attached + request.ports
    taken = set(map(_device_key, chosen)) if others else set()
    for pci_request in others:
        free = [d for d in host.attached[pci_request.id] if _device_key(d) not in taken]
        attached = choose_attached(
            pci_request.count,
            _usable_others(host, request, nodes, pci_request, free),
            chosen,
            same_card=pci_request in companions,
        )
        if attached is None:
            if pci_request not in request.ports:
                return None
            missing_ports += pci_request.count
            continue
        devices[pci_request.id] = attached
        taken.update(map(_device_key, attached))
        far += sum(distance(device, chosen) for device in attached)
    return DeviceChoice(
        devices,
        tuple(chosen),
        _total_cost(costs, chosen),
        far,
        missing_ports,
        (nodes,) if nodes is not None and request.guest_cells else (),
    )


def _choose_gpus(
    host: HostGpus,
    request: GpuRequest,
    nodes: frozenset[int] | None,
    groups: Sequence[tuple[PciRequest, ...]],
    taken: Sequence[FreeGpu],
    companions: Sequence[PciRequest],
    rng: random.Random | None,
    budget: SearchBudget,
) -> tuple[tuple[FreeGpu, ...], Cost] | None:
    """Choose the GPUs of the first group so that enough remain for the other groups."""
    first = groups[0]
    free = _free_gpus(host, first, taken)
    usable = _usable_gpus(host, request, nodes, first, free)
    rules = _rules(request, first, companions)
    companions_of = companions_by_gpu(
        host,
        request,
        free,
        [_usable_others(host, request, nodes, r, host.attached[r.id]) for r in companions],
    )
    eligible = None if len(usable) == len(free) else frozenset(usable)
    best = choose(free, rules, companions_of, rng, eligible, budget)
    if best is None or len(groups) == 1:
        return best
    later = [
        (_count(group), _usable_gpus(host, request, nodes, group, _free_gpus(host, group, taken)))
        for group in groups[1:]
    ]
    if assign([(rules.count, best[0]), *later]) is not None:
        return best
    # The best GPUs include some that another group cannot do without.
    assigned = assign([(rules.count, usable), *later])
    if assigned is None:
        return None
    return choose(free, rules, companions_of, rng, frozenset(assigned[0]), budget)


def _count(pci_requests: Sequence[PciRequest]) -> int:
    return sum(pci_request.count for pci_request in pci_requests)


def _free_gpus(
    host: HostGpus, pci_requests: Sequence[PciRequest], taken: Sequence[FreeGpu]
) -> Sequence[FreeGpu]:
    gpus = host.gpus[pci_requests[0].id]
    return [gpu for gpu in gpus if gpu not in taken] if taken else gpus


def _usable_gpus(
    host: HostGpus,
    request: GpuRequest,
    nodes: frozenset[int] | None,
    pci_requests: Sequence[PciRequest],
    free: Sequence[FreeGpu],
) -> list[FreeGpu]:
    policy = pci_requests[0].numa_policy
    return usable_devices(host, request, policy, free, nodes, _count(pci_requests))


def _usable_others(
    host: HostGpus,
    request: GpuRequest,
    nodes: frozenset[int] | None,
    pci_request: PciRequest,
    free: Sequence[FreeDevice],
) -> list[FreeDevice]:
    policy, count = pci_request.numa_policy, pci_request.count
    return usable_devices(host, request, policy, free, nodes, count, are_gpus=False)


def _device_key(device: FreeGpu | FreeDevice) -> tuple[str, str, int]:
    """Return what identifies a device, whether it is offered as a GPU or as another device."""
    return device.address, device.provider or "", device.ordinal


def _grouped_gpu_requests(host: HostGpus, request: GpuRequest) -> list[tuple[PciRequest, ...]]:
    """Group the GPU requests that the same devices can serve.

    Groups with the fewest devices come first, so that an alias that any GPU can serve does not get
    the only GPU that can serve another alias.
    """
    groups: dict[tuple[tuple[FreeGpu, ...], NumaPolicy], list[PciRequest]] = {}
    for pci_request in request.gpus:
        groups.setdefault((host.gpus[pci_request.id], pci_request.numa_policy), []).append(
            pci_request
        )
    return sorted(
        (tuple(pci_requests) for pci_requests in groups.values()),
        key=lambda pci_requests: len(host.gpus[pci_requests[0].id]),
    )


def _rules(
    request: GpuRequest, pci_requests: Sequence[PciRequest], companions: Sequence[PciRequest]
) -> ChoiceRules:
    soft = request.guest_cells and pci_requests[0].numa_policy is NumaPolicy.PREFERRED
    return ChoiceRules(
        _count(pci_requests),
        request.link,
        request.switch,
        len(request.guest_cells) if soft else None,
        tuple(pci_request.count for pci_request in companions),
    )


def _total_cost(costs: Sequence[Cost], gpus: Sequence[FreeGpu]) -> Cost:
    """Return the cost of all groups; NUMA nodes that they share count once."""
    if len(costs) == 1:
        return costs[0]
    nodes = {gpu.numa_node for gpu in gpus}
    return Cost(
        max(cost.numa_excess for cost in costs),
        sum(cost.link_splits for cost in costs),
        sum(cost.model_splits for cost in costs),
        len(nodes) + (None in nodes),
        sum(cost.switches for cost in costs),
        sum(cost.partitions for cost in costs),
        tuple(sum(sizes) for sizes in zip(*(cost.sets_left for cost in costs), strict=True)),
        sum(cost.companions_wasted for cost in costs),
    )


def _why_not(host: HostGpus, request: GpuRequest, tried: int) -> FitRefusal:
    """Return the constraint that, removed alone, would make the host fit."""
    if not tried:
        return FitRefusal(
            FitReason.GUEST_NUMA,
            f"{len(request.guest_cells)} guest NUMA cells fit on none of {len(host.cells)} nodes",
        )
    # Sorted, since Nova's pools are in the order in which devices became free.
    free = [
        f"{gpu.address} on node {gpu.numa_node}"
        for gpus in host.gpus.values()
        for gpu in sorted(gpus, key=lambda gpu: gpu.address)
    ]
    anywhere = replace(request, numa=Preference.PREFERRED, guest_cells=())
    relaxations = (
        (FitReason.COMPANIONS, replace(request, companions=False)),
        (FitReason.LINK, replace(request, link=Preference.PREFERRED)),
        (FitReason.SWITCH, replace(request, switch=Preference.PREFERRED)),
        (FitReason.NUMA, anywhere),
    )
    budget = SearchBudget()
    for reason, relaxed in relaxations:
        if relaxed != request and any(
            _choose_on(host, relaxed, nodes, None, budget)
            for nodes in itertools.islice(node_sets(host, relaxed), _MAX_RELAXED_SETS)
        ):
            return FitRefusal(reason, f"{request}; free: {', '.join(free)}")
    return FitRefusal(
        FitReason.NUMA, f"{request}: several constraints together; free: {', '.join(free)}"
    )
