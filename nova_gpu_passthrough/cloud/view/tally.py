# SPDX-License-Identifier: Apache-2.0
"""How many devices are in which state; VFs of one PF count one by one."""

from collections.abc import Iterable
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.view.model import Device, DeviceState


@dataclass(frozen=True)
class Tally:
    """Numbers of devices; ``total`` is the sum of the others."""

    total: int = 0
    free: int = 0
    in_use: int = 0
    reserved: int = 0
    stuck: int = 0
    missing: int = 0


def count(devices: Iterable[Device]) -> Tally:
    """Count devices of any kind."""
    free = in_use = reserved = stuck = missing = 0
    for device in devices:
        resource = device.resource
        if device.state is DeviceState.MISSING:
            missing += resource.total
            continue
        free += resource.free
        # A one-time-use device is reserved while it is in use, too.
        reserved += max(0, resource.total - resource.used - resource.free)
        if device.state is DeviceState.STUCK:
            stuck += resource.used
        else:
            in_use += resource.used
    total = free + in_use + reserved + stuck + missing
    return Tally(total, free, in_use, reserved, stuck, missing)


def free_by_node(devices: Iterable[Device]) -> dict[int | None, int]:
    """Free devices by NUMA node, nodes without a free one included; None: not told."""
    found: dict[int | None, int] = {}
    for device in devices:
        free = 0 if device.state is DeviceState.MISSING else device.resource.free
        found[device.numa_node] = found.get(device.numa_node, 0) + free
    return dict(sorted(found.items(), key=lambda item: (item[0] is None, item[0] or 0)))
