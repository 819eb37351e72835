# SPDX-License-Identifier: Apache-2.0
"""Devices that no server can get although none uses them."""

from collections.abc import Iterator

import os_traits

from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.cloud.view.model import Device, DeviceState
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_PLACE = "Placement, provider {}"
_CONSUMERS = "openstack resource provider show --allocations {}"
_UNRESERVE = "openstack resource provider inventory set --amend --resource {}:reserved=0 {}"


def check(facts: Facts) -> Iterator[Finding]:
    """Of all GPU hosts, in the fleet or not."""
    if facts.cloud is None:
        return
    for host in facts.cloud.view.hosts:
        for device in host.devices:
            if device.state is DeviceState.RESERVED:
                yield _reserved(device)
            elif device.state is DeviceState.STUCK:
                yield _stuck(device)


def _reserved(device: Device) -> Finding:
    again = _UNRESERVE.format(device.resource_class, device.provider)
    if os_traits.HW_PCI_ONE_TIME_USE in device.traits:
        return Finding(
            "device.uncleaned",
            Severity.WARNING,
            f"{device.host} {device.address}",
            device.note or "one-time-use, and still reserved after its server",
            _place(device),
            "Nova reserves such a device when a server gets it, and nothing gives it back.",
            f"Clean the device, then: {again}",
        )
    return Finding(
        "device.reserved",
        Severity.WARNING,
        f"{device.host} {device.address}",
        device.note or f"reserved: {device.resource.reserved} of {device.resource.total}",
        _place(device),
        "Somebody held it back by hand; no server gets it.",
        f"When it may be used: {again}",
    )


def _stuck(device: Device) -> Finding:
    return Finding(
        "device.stuck",
        Severity.FAILURE,
        f"{device.host} {device.address}",
        device.note or f"allocated to {', '.join(device.consumers)}, which is not there",
        _place(device),
        "The allocation of a server that is gone keeps the device (bug 1969496).",
        f"Look with {_CONSUMERS.format(device.provider)}; if no server with that id exists or "
        "moves: nova-manage placement audit --delete, or openstack resource provider allocation "
        "delete CONSUMER.",
    )


def _place(device: Device) -> str:
    return _PLACE.format(f"{device.host}_{device.address.upper()}")
