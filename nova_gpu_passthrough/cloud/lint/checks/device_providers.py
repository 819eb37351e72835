# SPDX-License-Identifier: Apache-2.0
"""The resource providers of devices in Placement, compared with the fleet file."""

from collections.abc import Iterator, Mapping

import os_traits

from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.cloud.view.model import CloudDevice, CloudHost, DeviceState
from nova_gpu_passthrough.fleet.offers import HostOffer, OfferedDevice
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import command, comment, script
from nova_gpu_passthrough.nova_rules import resource_names

_CUSTOM = os_traits.CUSTOM_NAMESPACE
_PROVIDER = "Placement, provider {}"


@lint_check()
def check(facts: Facts) -> Iterator[Finding]:
    """Check every device of every fleet host in Placement."""
    if facts.cloud is None:
        return
    for host in facts.cloud.view.hosts:
        offer = facts.offers.get(host.name)
        if offer is not None and host.provider is not None:
            expected = _by_provider(offer)
            devices = {device.address: device for device in host.devices}
            for address, functions in expected.items():
                yield from _device(facts, host, functions, devices.get(address))
            yield from _left_over(facts, host, expected)


def _by_provider(offer: HostOffer) -> Mapping[str, list[OfferedDevice]]:
    """Return the offered functions by the address of their provider: VFs have their PF's."""
    by_provider: dict[str, list[OfferedDevice]] = {}
    for offered in offer.devices:
        address = offered.device.physical_function or offered.address
        by_provider.setdefault(address, []).append(offered)
    return by_provider


def _device(
    facts: Facts, host: CloudHost, functions: list[OfferedDevice], device: CloudDevice | None
) -> Iterator[Finding]:
    first = functions[0]
    entry = facts.device_spec_entries[host.name][first.address]
    expected_class = facts.alias_of(first).resource_class
    address = first.device.physical_function or first.address
    subject, where = f"{host.name} {address}", _PROVIDER.format(f"{host.name}_{address.upper()}")
    if device is not None and device.lacking_traits:
        yield _not_of_nova(facts, subject, where, device)
        return
    install = facts.fixes.generate_on(host.name)
    if device is None or device.state is DeviceState.MISSING:
        yield Finding(
            "device.missing",
            Severity.FAILURE,
            subject,
            f"{first.model} ({first.kind}) has no resource provider",
            where,
            "No server gets it.",
            script(
                install,
                comment("If it is no longer in the host:"),
                facts.fixes.audit(host.name),
            ),
        )
        return
    if device.resource_class != expected_class:
        yield Finding(
            "device.resource_class",
            Severity.FAILURE,
            subject,
            f"it is {device.resource_class}, the fleet file gives {expected_class}",
            where,
            "No alias, or another one, requests it, and quotas count it under another class.",
            script(install, comment("While a server has the device, Nova keeps the old class.")),
        )
    expected_traits = resource_names.normalize_traits(entry.get("traits"))
    yield from _traits(subject, where, device, expected_traits, install)
    if entry.get("one_time_use") and os_traits.HW_PCI_ONE_TIME_USE not in device.traits:
        yield Finding(
            "device.one_time_use",
            Severity.FAILURE,
            subject,
            "it is not one-time-use, but the fleet file requests it",
            where,
            "The next server can read what the last one left in its memory.",
            install,
        )
    yield from _inventory(subject, where, device, len(functions))


def _not_of_nova(facts: Facts, subject: str, where: str, device: CloudDevice) -> Finding:
    """Report a provider that lacks traits which nova-compute itself sets."""
    missing = device.state is DeviceState.MISSING
    return Finding(
        "device.nova_traits",
        Severity.FAILURE if missing else Severity.WARNING,
        subject,
        f"its resource provider lacks {', '.join(sorted(device.lacking_traits))}",
        where,
        "No server gets it: Nova requests only devices with these traits."
        if missing
        else "nova-compute does not recognize its own device, and never removes it.",
        script(
            comment(
                "If they do not return in a few minutes, restart nova-compute and see its log:"
            ),
            facts.fixes.restart_compute(device.host),
        ),
    )


def _traits(
    subject: str, where: str, device: CloudDevice, expected: frozenset[str], fix: str
) -> Iterator[Finding]:
    custom = frozenset(trait for trait in device.traits if trait.startswith(_CUSTOM))
    words = []
    if expected - custom:
        words.append(f"lacks {', '.join(sorted(expected - custom))}")
    if custom - expected:
        words.append(f"has superfluous {', '.join(sorted(custom - expected))}")
    if words:
        yield Finding(
            "device.traits",
            Severity.WARNING,
            subject,
            f"traits: {', '.join(words)}",
            where,
            "Placement shows a wrong model, NUMA node or link group, and flavors that request such "
            "a trait do not find the device.",
            fix,
        )


def _inventory(
    subject: str, where: str, device: CloudDevice, expected_total: int
) -> Iterator[Finding]:
    resource = device.resource
    wrong = []
    if resource.total != expected_total:
        wrong.append(f"total {resource.total}, expected {expected_total}")
    if resource.allocation_ratio != 1:
        wrong.append(f"allocation_ratio {resource.allocation_ratio:g}, expected 1")
    if wrong:
        yield Finding(
            "device.inventory",
            Severity.FAILURE,
            subject,
            "; ".join(wrong),
            where,
            "Placement allocates one device to several servers, or to none.",
            command(
                *("openstack", "resource", "provider", "inventory", "set", "--amend"),
                *("--resource", f"{device.resource_class}:total={expected_total}"),
                *("--resource", f"{device.resource_class}:allocation_ratio=1.0"),
                device.provider,
            ),
        )


def _left_over(
    facts: Facts, host: CloudHost, expected: Mapping[str, list[OfferedDevice]]
) -> Iterator[Finding]:
    classes = {alias.resource_class for alias in facts.aliases.values()}
    for device in host.devices:
        is_gpu = device.model is not None or device.resource_class in classes
        if is_gpu and device.address not in expected and device.state is not DeviceState.MISSING:
            yield Finding(
                "device.left_over",
                Severity.FAILURE,
                f"{host.name} {device.address}",
                f"{device.resource_class}, which the fleet file does not offer to servers",
                _PROVIDER.format(f"{host.name}_{device.address.upper()}"),
                "Placement offers a device that the host does not have or keeps: servers fail.",
                script(
                    facts.fixes.generate_on(host.name),
                    comment("If it remains without a server:"),
                    command("openstack", "resource", "provider", "delete", device.provider),
                    comment("If the host should offer it to servers:"),
                    facts.fixes.audit(host.name),
                ),
            )
