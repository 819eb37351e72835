# SPDX-License-Identifier: Apache-2.0
"""Fit: whether, and how well, the free devices of a host serve a request.

A request is tried on every set of NUMA nodes that its policies allow, so that the caller can
offer Nova one choice per set: whether the guest's vCPUs and memory fit there is Nova's to say.
"""

import enum
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from nova_gpu_passthrough.topology.attachment import (
    attach,
    companion_demands,
    companions_of,
    distance,
)
from nova_gpu_passthrough.topology.choice import Cost, Rules, choose
from nova_gpu_passthrough.topology.model import (
    MAX_GPUS,
    Demand,
    Device,
    Gpu,
    GpuRequest,
    HostGpus,
    NumaPolicy,
    Preference,
)
from nova_gpu_passthrough.topology.numa import node_sets, on_nodes


class Reason(enum.Enum):
    """Why a host is refused; the value completes "refused: N ..."."""

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


class Refusal(NamedTuple):
    """The first constraint that fails on a host, with numbers."""

    reason: Reason
    detail: str


class DeviceChoice(NamedTuple):
    """Devices for every demand of a request, on one host."""

    #: In the order of the demand's devices, by demand id.
    devices: Mapping[str, tuple[Gpu | Device, ...]]
    gpus: tuple[Gpu, ...]
    cost: Cost
    #: How far from their GPUs the attached devices are: 0 for one on the switch of a chosen GPU,
    #: 1 for one on its NUMA node, 2 for any other; summed.
    distance: int

    @property
    def numa_nodes(self) -> set[int | None]:
        """Host NUMA nodes of the chosen GPUs."""
        return {gpu.numa_node for gpu in self.gpus}

    @property
    def quality(self) -> float:
        """0..1: 1 for GPUs on one NUMA node, in one link group and behind one switch.

        NUMA weighs most, then links, then switches, as in the order of `Cost`.
        """
        cost = self.cost
        links = 1 / (1 + cost.link_splits)
        switches = 1 / max(1, cost.switches)
        return 0.5 / max(1, cost.numa_nodes) + 0.4 * links + 0.1 * switches

    @property
    def numa_quality(self) -> float:
        """0..1: 1 for GPUs on one NUMA node, 1/2 on two and so on."""
        return 1 / max(1, self.cost.numa_nodes)

    def fit_key(self) -> tuple[int, ...]:
        """How well the server is served; the smaller the better."""
        return (*self.cost[:5], self.distance)

    def sort_key(self) -> tuple[object, ...]:
        """How well the server is served, and what is left for others; the smaller the better."""
        return (*self.fit_key(), *self.cost[5:])


def fit(
    host: HostGpus, request: GpuRequest, rng: random.Random | None = None
) -> list[DeviceChoice] | Refusal:
    """The best choice for every allowed set of NUMA nodes, best first, or why there is none.

    :param rng: picks among equally good sets; without it the lowest addresses win
    """
    refusal = check_request(request) or _check_counts(host, request)
    if refusal:
        return refusal
    if request.guest_cells and not host.cells:
        return Refusal(Reason.GUEST_NUMA, "the host reports no NUMA topology")
    choices: dict[tuple[object, ...], DeviceChoice] = {}
    tried = 0
    for nodes in node_sets(host, request):
        tried += 1
        choice = _choose_on(host, request, nodes, rng)
        if choice is not None:
            chosen = (device for devices in choice.devices.values() for device in devices)
            key = tuple(sorted((d.address, d.provider or "", d.ordinal) for d in chosen))
            choices.setdefault(key, choice)
    if not choices:
        return _why_not(host, request, tried)
    return sorted(choices.values(), key=DeviceChoice.sort_key)


def check_request(request: GpuRequest) -> Refusal | None:
    """Refuse what no host can ever serve."""
    for demand in request.gpus + request.attached:
        if not 0 < demand.count <= MAX_GPUS:
            return Refusal(
                Reason.INVALID_REQUEST,
                f"alias {demand.alias} is asked for {demand.count} devices, "
                f"expected 1 to {MAX_GPUS}; fix pci_passthrough:alias in the flavor",
            )
    return None


def _check_counts(host: HostGpus, request: GpuRequest) -> Refusal | None:
    for demands in _same_offers(host, request):
        free, wanted = len(host.gpus[demands[0].id]), sum(demand.count for demand in demands)
        if free < wanted:
            return Refusal(
                Reason.TOO_FEW_GPUS if free else Reason.NO_GPUS,
                f"{', '.join(d.alias for d in demands)}: {wanted} wanted, {free} free",
            )
    for demand in request.attached:
        free = len(host.attached[demand.id])
        if free < demand.count:
            return Refusal(
                Reason.TOO_FEW_DEVICES, f"{demand.alias}: {demand.count} wanted, {free} free"
            )
    return None


def _choose_on(
    host: HostGpus,
    request: GpuRequest,
    nodes: frozenset[int] | None,
    rng: random.Random | None,
) -> DeviceChoice | None:
    devices: dict[str, tuple[Gpu | Device, ...]] = {}
    chosen: list[Gpu] = []
    costs: list[Cost] = []
    companions = companion_demands(host, request)
    groups = _same_offers(host, request)
    # Of GPUs of several kinds, no single search can tell which cards the companions come from.
    counted = companions if len(groups) == 1 else ()
    for demands in groups:
        offers = [gpu for gpu in host.gpus[demands[0].id] if gpu not in chosen]
        rules = _rules(request, demands, counted)
        near = on_nodes(host, request, demands[0].numa_policy, offers, nodes, rules.count)
        best = choose(
            offers,
            rules,
            companions_of(host, request, offers, counted),
            rng,
            None if len(near) == len(offers) else frozenset(near),
        )
        if best is None:
            return None
        gpus = iter(best[0])
        for demand in demands:
            devices[demand.id] = tuple(itertools.islice(gpus, demand.count))
        chosen += best[0]
        costs.append(best[1])
    far = 0
    taken: set[Device] = set()
    for demand in request.attached:
        free = [device for device in host.attached[demand.id] if device not in taken]
        attached = attach(
            demand.count,
            on_nodes(host, request, demand.numa_policy, free, nodes, demand.count, are_gpus=False),
            chosen,
            same_card=demand in companions,
        )
        if attached is None:
            return None
        devices[demand.id] = attached
        taken.update(attached)
        far += sum(distance(device, chosen) for device in attached)
    return DeviceChoice(devices, tuple(chosen), _total(costs, chosen), far)


def _same_offers(host: HostGpus, request: GpuRequest) -> list[tuple[Demand, ...]]:
    """GPU demands that the same devices serve are chosen together.

    Those with the fewest devices come first: an alias that any GPU serves shall not take the only
    GPU of another alias.
    """
    groups: dict[tuple[tuple[Gpu, ...], NumaPolicy], list[Demand]] = {}
    for demand in request.gpus:
        groups.setdefault((host.gpus[demand.id], demand.numa_policy), []).append(demand)
    return sorted(
        (tuple(demands) for demands in groups.values()),
        key=lambda demands: len(host.gpus[demands[0].id]),
    )


def _rules(request: GpuRequest, demands: Sequence[Demand], companions: Sequence[Demand]) -> Rules:
    soft = request.guest_cells and demands[0].numa_policy is NumaPolicy.PREFERRED
    return Rules(
        sum(demand.count for demand in demands),
        request.link,
        request.switch,
        len(request.guest_cells) if soft else None,
        tuple(demand.count for demand in companions),
    )


def _total(costs: Sequence[Cost], gpus: Sequence[Gpu]) -> Cost:
    """One cost for all GPU demands; NUMA nodes that they share count once."""
    if len(costs) == 1:
        return costs[0]
    nodes = {gpu.numa_node for gpu in gpus}
    return Cost(
        max(cost.numa_excess for cost in costs),
        sum(cost.link_splits for cost in costs),
        len(nodes) + (None in nodes),
        sum(cost.switches for cost in costs),
        sum(cost.partitions for cost in costs),
        tuple(sum(sizes) for sizes in zip(*(cost.sets_left for cost in costs), strict=True)),
        sum(cost.companions_wasted for cost in costs),
    )


def _why_not(host: HostGpus, request: GpuRequest, tried: int) -> Refusal:
    """Name the constraint whose removal alone makes the host fit."""
    if not tried:
        return Refusal(
            Reason.GUEST_NUMA,
            f"{len(request.guest_cells)} guest NUMA cells fit on none of {len(host.cells)} nodes",
        )
    # Nova's pools are in the order in which devices came free.
    free = [
        f"{gpu.address} on node {gpu.numa_node}"
        for gpus in host.gpus.values()
        for gpu in sorted(gpus, key=lambda gpu: gpu.address)
    ]
    anywhere = replace(request, numa=Preference.PREFERRED, guest_cells=())
    relaxed = (
        (Reason.COMPANIONS, replace(request, companions=False)),
        (Reason.LINK, replace(request, link=Preference.PREFERRED)),
        (Reason.SWITCH, replace(request, switch=Preference.PREFERRED)),
        (Reason.NUMA, anywhere),
    )
    for reason, easier in relaxed:
        if easier != request and any(
            _choose_on(host, easier, nodes, None) for nodes in node_sets(host, easier)
        ):
            return Refusal(reason, f"{request}; free: {', '.join(free)}")
    return Refusal(Reason.NUMA, f"{request}: several constraints at once; free: {', '.join(free)}")
