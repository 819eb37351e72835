# SPDX-License-Identifier: Apache-2.0
"""Free GPUs that no server of any GPU flavor can use now.

Each host's GPUs of one model are filled up with further servers in the best of these ways: as many
servers as fit of one flavor, then of the others, from the largest to the smallest; each flavor is
tried as the first. GPUs that stay free in the best way are stranded. Their cause is what refuses
the flavor with the fewest GPUs then.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from nova_gpu_passthrough.cloud.fit import gpu_flavors, host_capacity
from nova_gpu_passthrough.cloud.fit.capacity_model import StrandedGpu
from nova_gpu_passthrough.cloud.fit.gpu_flavors import GpuFlavor
from nova_gpu_passthrough.cloud.view.model import Host
from nova_gpu_passthrough.nova_rules.emulate_placement import Placed, place
from nova_gpu_passthrough.nova_rules.host_capacity import Needs, Room, RoomDevice
from nova_gpu_passthrough.nova_rules.why_not import Cause, Refused
from nova_gpu_passthrough.topology.model import Gpu


class _Rest(NamedTuple):
    """What stays free of one model, and why."""

    addresses: tuple[str, ...]
    cause: Cause
    detail: str
    flavor: str | None


def find(
    hosts: Iterable[Host], known: Mapping[str, Room], flavors: Sequence[GpuFlavor]
) -> tuple[StrandedGpu, ...]:
    """All stranded GPUs, by host and address.

    :param known: what each host has left
    """
    rests: dict[tuple[Room, str], _Rest] = {}
    found = []
    for host in hosts:
        left = known[host.name]
        closed = host_capacity.closed(host)
        for model in sorted({gpu.model for gpu, _ in _free(left)}):
            if closed:
                rest = _Rest(_addresses(left, model), closed.cause, closed.detail, None)
            else:
                if (left, model) not in rests:
                    rests[left, model] = _fill(left, model, flavors)
                rest = rests[left, model]
            found += [
                StrandedGpu(host.name, address, model, rest.cause, rest.detail, rest.flavor)
                for address in rest.addresses
            ]
    return tuple(sorted(found, key=lambda gpu: (gpu.host, gpu.address)))


def _free(left: Room) -> Iterable[tuple[Gpu, RoomDevice]]:
    for device in left.devices:
        if device.free and isinstance(device.device, Gpu):
            yield device.device, device


def _addresses(left: Room, model: str) -> tuple[str, ...]:
    """One for every free GPU; VFs of one PF share its address."""
    return tuple(
        gpu.address for gpu, device in _free(left) if gpu.model == model for _ in range(device.free)
    )


def _fill(left: Room, model: str, flavors: Sequence[GpuFlavor]) -> _Rest:
    usable: list[tuple[str, int, Needs]] = [
        (one.flavor.name, one.asked.gpus, gpu_flavors.fitting(left, one.asked))
        for one in flavors
        if model in one.asked.models and not gpu_flavors.invalid(one.asked)
    ]
    if not usable:
        detail = f"no flavor that Nova accepts asks for {model}"
        return _Rest(_addresses(left, model), Cause.FLAVOR, detail, None)
    usable.sort(key=lambda one: (-one[1], one[0]))
    best = None
    for first in usable:
        after = left
        for one in (first, *usable):
            after = _filled(after, one[2])
        if best is None or len(_addresses(after, model)) < len(_addresses(best, model)):
            best = after
        if not _addresses(best, model):
            break
    assert best is not None
    # It was tried last, until it was refused.
    smallest, _, needs = usable[-1]
    refused = place(best, needs)
    assert isinstance(refused, Refused)
    return _Rest(_addresses(best, model), refused.cause, refused.detail, smallest)


def _filled(left: Room, needs: Needs) -> Room:
    while isinstance(answer := place(left, needs), Placed):
        left = answer.room
    return left
