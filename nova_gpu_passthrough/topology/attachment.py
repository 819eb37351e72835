# SPDX-License-Identifier: Apache-2.0
"""Choose the devices that a server gets with its GPUs: companion functions, NICs, disks."""

from collections.abc import Sequence

from nova_gpu_passthrough.topology.model import (
    FreeDevice,
    FreeGpu,
    GpuRequest,
    HostGpus,
    PciRequest,
)


def companion_requests(host: HostGpus, request: GpuRequest) -> tuple[PciRequest, ...]:
    """Return the requests for companion functions, if these must be on the cards of the GPUs."""
    if not request.companions or not request.attached:
        return ()
    cards = {gpu.card for gpus in host.gpus.values() for gpu in gpus if gpu.card is not None}
    return tuple(
        pci_request
        for pci_request in request.attached
        if any(device.card in cards for device in host.attached[pci_request.id])
    )


def companions_by_gpu(
    host: HostGpus,
    request: GpuRequest,
    gpus: Sequence[FreeGpu],
    companions: Sequence[Sequence[FreeDevice]],
) -> list[tuple[int, ...]]:
    """Return for each GPU how many usable companions its card has, by request.

    Without a request for companions, the only entry says whether the card has any.

    :param companions: the devices that each request for companions may use
    """
    if not companions:
        if request.attached or not host.companion_cards:
            return []
        return [(int(gpu.card in host.companion_cards),) for gpu in gpus]
    companions_by_card = []
    for devices in companions:
        counts: dict[str | None, int] = {}
        for device in devices:
            counts[device.card] = counts.get(device.card, 0) + 1
        companions_by_card.append(counts)
    result = []
    # GPUs of one card share its companions: count them for the first GPU only.
    seen: set[str | None] = {None}
    for gpu in gpus:
        result.append(
            tuple(
                0 if gpu.card in seen else counts.get(gpu.card, 0) for counts in companions_by_card
            )
        )
        seen.add(gpu.card)
    return result


def choose_attached(
    count: int, devices: Sequence[FreeDevice], gpus: Sequence[FreeGpu], same_card: bool
) -> tuple[FreeDevice, ...] | None:
    """Choose the devices nearest to the chosen GPUs, spread over the GPUs' switches.

    :param same_card: whether only devices on the cards of the GPUs are allowed
    :returns: None if there are fewer than ``count``
    """
    cards = {gpu.card for gpu in gpus if gpu.card is not None}
    candidates = [device for device in devices if not same_card or device.card in cards]
    used: dict[str | None, int] = {}
    chosen: list[FreeDevice] = []
    while candidates and len(chosen) < count:
        best = min(
            candidates,
            key=lambda d: (d.card not in cards, distance(d, gpus), used.get(d.switch, 0)),
        )
        candidates.remove(best)
        chosen.append(best)
        used[best.switch] = used.get(best.switch, 0) + 1
    return tuple(chosen) if len(chosen) == count else None


def distance(device: FreeDevice, gpus: Sequence[FreeGpu]) -> int:
    """Return 0 if the device shares a card or switch with a GPU, 1 if a NUMA node, else 2."""
    if device.card is not None and any(device.card == gpu.card for gpu in gpus):
        return 0
    if device.switch is not None and any(device.switch == gpu.switch for gpu in gpus):
        return 0
    near = device.numa_node is not None and any(device.numa_node == g.numa_node for g in gpus)
    return 1 if near else 2
