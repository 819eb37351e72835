# SPDX-License-Identifier: Apache-2.0
"""Devices that go with the GPUs: companion functions of their cards, NICs and disks near them."""

from collections.abc import Sequence

from nova_gpu_passthrough.topology.model import Demand, Device, Gpu, GpuRequest, HostGpus


def companion_demands(host: HostGpus, request: GpuRequest) -> tuple[Demand, ...]:
    """Attached demands whose devices are companions of GPUs, where they must stay together."""
    if not request.companions or not request.attached:
        return ()
    cards = {gpu.card for gpus in host.gpus.values() for gpu in gpus if gpu.card is not None}
    return tuple(
        demand
        for demand in request.attached
        if any(device.card in cards for device in host.attached[demand.id])
    )


def companions_of(
    host: HostGpus, request: GpuRequest, gpus: Sequence[Gpu], demands: Sequence[Demand]
) -> list[tuple[int, ...]]:
    """How many companions of each demand each GPU brings along."""
    if not demands:
        if request.attached or not host.companion_cards:
            return []
        return [(int(gpu.card in host.companion_cards),) for gpu in gpus]
    offered = []
    for demand in demands:
        by_card: dict[str | None, int] = {}
        for device in host.attached[demand.id]:
            by_card[device.card] = by_card.get(device.card, 0) + 1
        offered.append(by_card)
    result = []
    # GPUs of one card share its companions: the first of them counts them all.
    seen: set[str | None] = {None}
    for gpu in gpus:
        result.append(tuple(0 if gpu.card in seen else by.get(gpu.card, 0) for by in offered))
        seen.add(gpu.card)
    return result


def attach(
    count: int, devices: Sequence[Device], gpus: Sequence[Gpu], same_card: bool
) -> tuple[Device, ...] | None:
    """The devices nearest to the chosen GPUs, spread over the GPUs' switches."""
    cards = {gpu.card for gpu in gpus if gpu.card is not None}
    left = [device for device in devices if not same_card or device.card in cards]
    used: dict[str | None, int] = {}
    taken: list[Device] = []
    while left and len(taken) < count:
        best = min(
            left,
            key=lambda d: (d.card not in cards, distance(d, gpus), used.get(d.switch, 0)),
        )
        left.remove(best)
        taken.append(best)
        used[best.switch] = used.get(best.switch, 0) + 1
    return tuple(taken) if len(taken) == count else None


def distance(device: Device, gpus: Sequence[Gpu]) -> int:
    if device.card is not None and any(device.card == gpu.card for gpu in gpus):
        return 0
    if device.switch is not None and any(device.switch == gpu.switch for gpu in gpus):
        return 0
    near = device.numa_node is not None and any(device.numa_node == g.numa_node for g in gpus)
    return 1 if near else 2
