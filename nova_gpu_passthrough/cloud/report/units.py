# SPDX-License-Identifier: Apache-2.0
"""Counting GPUs: one device may stand for several, the VFs of one PF."""

from collections import Counter
from collections.abc import Iterable

from nova_gpu_passthrough.cloud.view.model import Device, DeviceState


def by_state(device: Device) -> Counter[DeviceState]:
    """How many GPUs of each state a device stands for; at least one."""
    found = device.resource
    if device.state is DeviceState.MISSING or found.total <= 1:
        return Counter({device.state: max(1, found.total)})
    used = min(found.used, found.total)
    free = min(found.free, found.total - used)
    taken = DeviceState.STUCK if device.state is DeviceState.STUCK else DeviceState.IN_USE
    counts = {
        DeviceState.FREE: free,
        taken: used,
        DeviceState.RESERVED: found.total - used - free,
    }
    return Counter({state: count for state, count in counts.items() if count})


def total(devices: Iterable[Device]) -> Counter[DeviceState]:
    """The same for all of them."""
    return sum(map(by_state, devices), start=Counter())


def with_unit(device: Device) -> int:
    """How many GPUs a device stands for."""
    return by_state(device).total()
