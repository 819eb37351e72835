# SPDX-License-Identifier: Apache-2.0
"""Devices that no server uses and no server can get."""

from collections.abc import Iterator

import os_traits

from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.cloud.view.model import CloudDevice, DeviceState
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import command, comment, script

_PROVIDER = "Placement, provider {}"
#: The first microversion of Placement with which consumers keep their other allocations.
_PLACEMENT = ("--os-placement-api-version", "1.28")


@lint_check(drift=False)
def check(facts: Facts) -> Iterator[Finding]:
    """Check all GPU hosts, in the fleet or not."""
    if facts.cloud is None:
        return
    for host in facts.cloud.view.hosts:
        for device in host.devices:
            if device.state is DeviceState.RESERVED:
                yield _reserved(device)
            elif device.state is DeviceState.STUCK:
                yield _stuck(device)


def _reserved(device: CloudDevice) -> Finding:
    unreserve = command(
        *("openstack", "resource", "provider", "inventory", "set", "--amend"),
        *("--resource", f"{device.resource_class}:reserved=0"),
        device.provider,
    )
    if os_traits.HW_PCI_ONE_TIME_USE in device.traits:
        return Finding(
            "device.uncleaned",
            Severity.WARNING,
            f"{device.host} {device.address}",
            device.note or "one-time-use, and still reserved after its last server",
            _where(device),
            "Nova reserves such a device when a server gets it, and does not release it.",
            script(comment("When it has been cleaned:"), unreserve),
        )
    return Finding(
        "device.reserved",
        Severity.WARNING,
        f"{device.host} {device.address}",
        device.note or f"reserved: {device.resource.reserved} of {device.resource.total}",
        _where(device),
        "It was reserved by hand, so no server gets it.",
        script(comment("When it may be used again:"), unreserve),
    )


def _stuck(device: CloudDevice) -> Finding:
    return Finding(
        "device.stuck",
        Severity.FAILURE,
        f"{device.host} {device.address}",
        device.note or f"allocated to {', '.join(device.consumers)}, which does not exist",
        _where(device),
        "The allocation of a server that does not exist keeps the device (bug 1969496).",
        script(
            comment("If it does not exist or is not being moved, remove it from this device only:"),
            *(_release(consumer, device) for consumer in device.consumers),
        ),
    )


def _release(consumer: str, device: CloudDevice) -> str:
    """Return the commands that show a server and remove its allocation of a device."""
    remove = ("resource", "provider", "allocation", "unset", "--provider", device.provider)
    return script(
        command("openstack", "server", "show", consumer),
        command("openstack", *_PLACEMENT, *remove, consumer),
    )


def _where(device: CloudDevice) -> str:
    return _PROVIDER.format(f"{device.host}_{device.address.upper()}")
