# SPDX-License-Identifier: Apache-2.0
"""Whether the device_spec entry of a device has the values that the fleet file gives.

If several entries match a device, Nova uses the first (``get_devspec`` in
nova/pci/whitelist.py).
"""

from collections.abc import Iterator, Mapping

from nova_gpu_passthrough.cloud.lint import configured_device_spec
from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService
from nova_gpu_passthrough.cloud.lint.configured_device_spec import DeviceSpecEntry
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet.offers import OfferedDevice
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.nova_rules import resource_names
from nova_gpu_passthrough.topology import tags

_REASONS = {
    "resource_class": "Placement counts the device under another resource class than aliases and "
    "quotas.",
    "traits": "Placement does not show model, NUMA node and link group of the device, and flavors "
    "with such traits do not find it.",
    "tags": "GpuPassthroughFilter misjudges the device, or refuses the host for an unknown tag.",
    "managed": "With yes, libvirt unbinds the device from its driver when a server starts, which "
    "can hang the host; with no, a server starts only if vfio-pci is already bound.",
    "one_time_use": "Unlike in the fleet file, the device is, or is not, reserved for cleaning "
    "after its server.",
}
_IDS = {
    "resource_class": "device_spec.resource_class",
    "traits": "device_spec.traits",
    "tags": "device_spec.tags",
    "managed": "device_spec.managed",
    "one_time_use": "device_spec.one_time_use",
}


@lint_check()
def check(facts: Facts) -> Iterator[Finding]:
    """Check every device that the fleet file offers and an entry matches."""
    for service, offer in facts.compute_services:
        entries = configured_device_spec.valid_entries(service.configuration)
        for offered in offer.devices:
            matching = [entry for entry in entries if entry.matches(offered.device)]
            if matching:
                expected = facts.device_spec_entries[offer.host][offered.address]
                yield from _entry(facts, service, offered, matching, expected)


def _entry(
    facts: Facts,
    service: ConfiguredService,
    offered: OfferedDevice,
    matching: list[DeviceSpecEntry],
    expected: Mapping[str, str],
) -> Iterator[Finding]:
    first, *others = matching
    wrong = _differences(first, offered, expected)
    later = next((e for e in others if not _differences(e, offered, expected)), None)
    if wrong and later is not None:
        yield Finding(
            "device_spec.shadowed",
            Severity.FAILURE,
            service.name,
            f"{offered.address}: the entry at {later.assignment.where} is right, but Nova "
            f"uses this one, which comes first: {'; '.join(wrong.values())}",
            first.assignment.where,
            "Nova uses the first entry that matches a device, over all files.",
            facts.fixes.edit_file(
                service,
                first.assignment.path,
                f"remove this device_spec, or restrict it to other devices than {offered.address}",
            ),
        )
        return
    for key, text in wrong.items():
        yield Finding(
            _IDS[key],
            Severity.WARNING if key == "traits" else Severity.FAILURE,
            service.name,
            f"{offered.address}: {text}",
            first.assignment.where,
            _REASONS[key],
            facts.fixes.generate(service, first.assignment),
        )


def _differences(
    entry: DeviceSpecEntry, offered: OfferedDevice, expected: Mapping[str, str]
) -> dict[str, str]:
    """Return the differences from the expected values, by key."""
    differences: dict[str, str] = {}
    configured_class = entry.resource_class(offered.device)
    if configured_class != expected["resource_class"]:
        differences["resource_class"] = (
            f"resource_class is {configured_class}, expected {expected['resource_class']}"
        )
    traits = resource_names.normalize_traits(expected.get("traits"))
    if entry.traits != traits:
        differences["traits"] = _trait_difference(entry.traits, traits)
    expected_tags = {key: value for key, value in expected.items() if key in tags.TAGS}
    if entry.tags != expected_tags:
        differences["tags"] = "; ".join(
            f"{key} is {entry.tags.get(key, 'not set')}, expected {expected_tags.get(key, 'none')}"
            for key in sorted({*entry.tags, *expected_tags})
            if entry.tags.get(key) != expected_tags.get(key)
        )
    for flag, default in (("managed", True), ("one_time_use", False)):
        right = {"true": True, "no": False}.get(expected.get(flag, ""), default)
        if entry.flag(flag, default) is not right:
            differences[flag] = (
                f"{flag} is {'no' if right else 'yes'}, expected {'yes' if right else 'no'}"
            )
    return differences


def _trait_difference(configured: frozenset[str], expected: frozenset[str]) -> str:
    words = []
    if expected - configured:
        words.append(f"lacks {', '.join(sorted(expected - configured))}")
    if configured - expected:
        words.append(f"has superfluous {', '.join(sorted(configured - expected))}")
    return f"traits: {', '.join(words)}"
