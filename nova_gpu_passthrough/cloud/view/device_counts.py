# SPDX-License-Identifier: Apache-2.0
"""Count devices by state and by NUMA node.

One device can be several units: the VFs of one PF, or the vGPUs of one GPU.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.view.model import CloudDevice, DeviceState


@dataclass(frozen=True)
class DeviceCounts:
    """Numbers of units in Placement by state; ``total`` is the sum of the others."""

    total: int = 0
    free: int = 0
    in_use: int = 0
    reserved: int = 0
    stuck: int = 0
    missing: int = 0


def count(devices: Iterable[CloudDevice]) -> DeviceCounts:
    """Count the units that devices have in Placement; a device without inventory has none."""
    free = in_use = reserved = stuck = missing = 0
    for device in devices:
        resource = device.resource
        if device.state is DeviceState.MISSING:
            missing += resource.total
            continue
        free += resource.free
        # A one-time-use device is also reserved while it is in use.
        reserved += max(0, resource.total - resource.used - resource.free)
        if device.state is DeviceState.STUCK:
            stuck += resource.used
        else:
            in_use += resource.used
    total = free + in_use + reserved + stuck + missing
    return DeviceCounts(total, free, in_use, reserved, stuck, missing)


def free_by_numa_node(devices: Iterable[CloudDevice]) -> dict[int | None, int]:
    """Count free units by NUMA node, including nodes without any; None: node not known."""
    counts: dict[int | None, int] = {}
    for device in devices:
        free = 0 if device.state is DeviceState.MISSING else device.resource.free
        counts[device.numa_node] = counts.get(device.numa_node, 0) + free
    return dict(sorted(counts.items(), key=lambda item: (item[0] is None, item[0] or 0)))


def units_by_state(device: CloudDevice) -> Counter[DeviceState]:
    """Count the units of one device by state; a device without inventory is one unit."""
    resource = device.resource
    if device.state is DeviceState.MISSING or resource.total <= 1:
        return Counter({device.state: max(1, resource.total)})
    used = min(resource.used, resource.total)
    free = min(resource.free, resource.total - used)
    used_state = DeviceState.STUCK if device.state is DeviceState.STUCK else DeviceState.IN_USE
    counts = {
        DeviceState.FREE: free,
        used_state: used,
        DeviceState.RESERVED: resource.total - used - free,
    }
    return Counter({state: count for state, count in counts.items() if count})


def total_by_state(devices: Iterable[CloudDevice]) -> Counter[DeviceState]:
    """Count the units of all devices by state."""
    return sum(map(units_by_state, devices), start=Counter())


def unit_count(device: CloudDevice) -> int:
    """Return the number of units of one device; at least one."""
    return units_by_state(device).total()
