# SPDX-License-Identifier: Apache-2.0
"""PCI aliases and resource classes: one per model, function and device type.

Placement selects devices by resource class, Nova's pools select them by device type: an alias
without a ``device_type`` never gets a PF (``_filter_pools_for_unrequested_pfs`` in
nova/pci/stats.py), and one alias cannot name two types (nova/pci/request.py). So a model that is
type-PF on one host and type-PCI on another gets two aliases, each with its own resource class: with
one class, Placement would return devices that the pools then refuse. The most frequent type gets
the name without a suffix.

Alias rules of a fleet file change the name, the resource class or the NUMA policy of an alias.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet import device_names
from nova_gpu_passthrough.fleet.model import AliasRule
from nova_gpu_passthrough.fleet.offers import DeviceKind, HostOffer, Note, OfferedDevice
from nova_gpu_passthrough.inventory.pci import DeviceType

#: The devices of an alias: their kind, model and device type.
AliasKey = tuple[DeviceKind, str, DeviceType]
AliasMap = Mapping[AliasKey, "Alias"]
#: The order in which device types get the name without a suffix, if they are equally frequent.
_PREFERENCE = (DeviceType.PF, DeviceType.PCI, DeviceType.VF)


@dataclass(frozen=True)
class Alias:
    """One ``[pci] alias``."""

    name: str
    resource_class: str
    device_type: DeviceType
    kind: DeviceKind
    model: str
    numa_policy: str

    @property
    def is_companion(self) -> bool:
        """Check whether its devices are companions of a GPU."""
        return self.kind not in (DeviceKind.GPU, DeviceKind.NIC)

    def to_json(self) -> str:
        """Return the value of ``[pci] alias``; Nova requires every member to be a string."""
        return json.dumps(
            {
                "name": self.name,
                "device_type": str(self.device_type),
                "resource_class": self.resource_class,
                "numa_policy": self.numa_policy,
            }
        )


def alias_key(offered: OfferedDevice) -> AliasKey:
    """Return the key of the alias that selects a device."""
    return offered.kind, offered.model, offered.device.device_type


def make(
    offers: Iterable[HostOffer], numa_policy: str, rules: Iterable[AliasRule] = ()
) -> tuple[AliasMap, list[Note]]:
    """Make the aliases of all offered devices, sorted by name.

    :param rules: changes to aliases; a rule without a matching device has no effect
    :raises UserError: if two aliases would get the same name or resource class
    """
    counts = _counts(offers)
    aliases = {key: _alias(key, counts, numa_policy) for key in counts}
    for rule in rules:
        key = rule_key(rule, counts)
        if key in aliases:
            aliases[key] = _changed(aliases[key], rule)
    _check_names(aliases.values())
    ordered = dict(sorted(aliases.items(), key=lambda item: item[1].name))
    return ordered, list(_notes(ordered))


def rule_key(
    rule: AliasRule, devices: Iterable[HostOffer] | Mapping[AliasKey, int]
) -> AliasKey | None:
    """Return the key of the alias that a rule changes; None if no device matches the rule.

    :param devices: offers, or the number of devices by alias
    """
    counts = devices if isinstance(devices, Mapping) else _counts(devices)
    kind = DeviceKind(rule.kind)
    if rule.device_type is None:
        usual = _usual(kind, rule.model, counts)
        return (kind, rule.model, usual) if usual else None
    key = kind, rule.model, DeviceType(rule.device_type)
    return key if counts.get(key) else None


def _counts(offers: Iterable[HostOffer]) -> Counter[AliasKey]:
    return Counter(alias_key(offered) for offer in offers for offered in offer.devices)


def _usual(kind: DeviceKind, model: str, counts: Mapping[AliasKey, int]) -> DeviceType | None:
    """Return the most frequent device type of a model."""
    types = [other for other in _PREFERENCE if counts.get((kind, model, other))]
    return max(types, key=lambda other: counts[kind, model, other], default=None)


def _changed(alias: Alias, rule: AliasRule) -> Alias:
    """Return an alias with the changes of a rule."""
    return replace(
        alias,
        name=rule.name or alias.name,
        resource_class=device_names.configured_resource_class(rule.resource_class)
        if rule.resource_class
        else alias.resource_class,
        numa_policy=rule.numa_policy or alias.numa_policy,
    )


def _alias(key: AliasKey, counts: Counter[AliasKey], numa_policy: str) -> Alias:
    kind, model, device_type = key
    named = (kind, model, None if device_type is _usual(kind, model, counts) else device_type)
    return Alias(
        device_names.alias(*named),
        device_names.resource_class(*named),
        device_type,
        kind,
        model,
        numa_policy,
    )


def _check_names(aliases: Iterable[Alias]) -> None:
    seen: dict[str, Alias] = {}
    for alias in aliases:
        for name in (alias.name, alias.resource_class):
            other = seen.setdefault(name, alias)
            if other is not alias:
                raise UserError(
                    f"models {other.model} and {alias.model} would both be {name}: rename one of "
                    "them with nova-gpu host audit --gpu VENDOR:PRODUCT=MODEL, or below aliases in "
                    "the fleet file"
                )
        if not alias.name:
            raise UserError(
                f"model {alias.model!r} has no letter or digit for the name of an alias: rename it "
                "with nova-gpu host audit --gpu VENDOR:PRODUCT=MODEL"
            )


def _notes(aliases: AliasMap) -> Iterator[Note]:
    by_model: dict[tuple[DeviceKind, str], list[Alias]] = {}
    for (kind, model, _), alias in aliases.items():
        by_model.setdefault((kind, model), []).append(alias)
    for (kind, model), members in by_model.items():
        if len(members) > 1 and kind is not DeviceKind.NIC:
            what = ", ".join(f"{alias.name} ({alias.device_type})" for alias in members)
            yield Note(
                None,
                f"{model} has more than one device type in this cloud, so it has the aliases "
                f"{what}; with the same SR-IOV setting in the firmware of all hosts, one alias "
                "suffices",
            )
