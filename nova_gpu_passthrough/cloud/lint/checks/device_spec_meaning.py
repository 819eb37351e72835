# SPDX-License-Identifier: Apache-2.0
"""Whether device_spec says of a device what the fleet file makes of it.

Of several entries that match a device Nova takes the first (``get_devspec`` in
nova/pci/whitelist.py).
"""

from collections.abc import Iterator, Mapping

from nova_gpu_passthrough.cloud.lint import device_spec
from nova_gpu_passthrough.cloud.lint import facts as fix
from nova_gpu_passthrough.cloud.lint.configuration.services import Service
from nova_gpu_passthrough.cloud.lint.device_spec import Entry
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet.offers import Offered
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.nova_rules import names
from nova_gpu_passthrough.topology import tags

_WHYS = {
    "resource_class": "Placement counts the device as something else than what aliases and quotas "
    "ask for.",
    "traits": "Model, NUMA node and link group of the device cannot be seen in Placement, and "
    "flavors with such traits do not find it.",
    "tags": "GpuPassthroughFilter takes the device for something else, or refuses the host for an "
    "unknown tag.",
    "managed": "With yes, libvirt takes the device from its driver when a server starts, which can "
    "hang the host; with no, the server only starts if vfio-pci has it already.",
    "one_time_use": "A device is kept for cleaning after its server, or is not, other than the "
    "fleet file says.",
}
_IDS = {
    "resource_class": "device_spec.resource_class",
    "traits": "device_spec.traits",
    "tags": "device_spec.tags",
    "managed": "device_spec.managed",
    "one_time_use": "device_spec.one_time_use",
}


def check(facts: Facts) -> Iterator[Finding]:
    """Every device that the fleet file offers and an entry matches."""
    for service, offer in facts.computes:
        entries = device_spec.readable(service.configuration)
        for offered in offer.devices:
            matching = [entry for entry in entries if entry.matches(offered.device)]
            if matching:
                wanted = facts.entries[offer.host][offered.address]
                yield from _entry(service, offered, matching, wanted)


def _entry(
    service: Service, offered: Offered, matching: list[Entry], wanted: Mapping[str, str]
) -> Iterator[Finding]:
    first, *others = matching
    wrong = _differences(first, offered, wanted)
    later = next((e for e in others if not _differences(e, offered, wanted)), None)
    if wrong and later is not None:
        yield Finding(
            "device_spec.shadowed",
            Severity.FAILURE,
            service.name,
            f"{offered.address}: the entry at {later.assignment.where} is right, but this one "
            f"comes first: {'; '.join(wrong.values())}",
            first.assignment.where,
            "Of the entries that match a device Nova takes the first, in all files together.",
            "Take this entry out, or make it match other devices only.",
        )
        return
    for what, text in wrong.items():
        yield Finding(
            _IDS[what],
            Severity.WARNING if what == "traits" else Severity.FAILURE,
            service.name,
            f"{offered.address}: {text}",
            first.assignment.where,
            _WHYS[what],
            fix.generate(service.name),
        )


def _differences(entry: Entry, offered: Offered, wanted: Mapping[str, str]) -> dict[str, str]:
    """What it says other than it should, by kind."""
    wrong: dict[str, str] = {}
    found_class = entry.resource_class(offered.device)
    if found_class != wanted["resource_class"]:
        wrong["resource_class"] = (
            f"resource_class is {found_class}, expected {wanted['resource_class']}"
        )
    traits = names.traits(wanted.get("traits"))
    if entry.traits != traits:
        wrong["traits"] = _sets("traits", entry.traits, traits)
    ours = {key: value for key, value in wanted.items() if key in tags.TAGS}
    if entry.tags != ours:
        wrong["tags"] = "; ".join(
            f"{key} is {entry.tags.get(key, 'not set')}, expected {ours.get(key, 'none')}"
            for key in sorted({*entry.tags, *ours})
            if entry.tags.get(key) != ours.get(key)
        )
    for flag, default in (("managed", True), ("one_time_use", False)):
        right = {"true": True, "no": False}.get(wanted.get(flag, ""), default)
        if entry.flag(flag, default) is not right:
            wrong[flag] = (
                f"{flag} is {'no' if right else 'yes'}, expected {'yes' if right else 'no'}"
            )
    return wrong


def _sets(what: str, found: frozenset[str], wanted: frozenset[str]) -> str:
    words = []
    if wanted - found:
        words.append(f"lacks {', '.join(sorted(wanted - found))}")
    if found - wanted:
        words.append(f"has {', '.join(sorted(found - wanted))} too many")
    return f"{what}: {', '.join(words)}"
