# SPDX-License-Identifier: Apache-2.0
"""PCI aliases and resource classes: one per model, function and device type.

Placement finds devices by resource class, Nova's pools by device type: an alias without a
``device_type`` never gets a PF (``_filter_pools_for_unrequested_pfs`` in nova/pci/stats.py), and
one alias cannot name two types (nova/pci/request.py). So where one model is type-PF on one host and
type-PCI on another, it gets two aliases with a resource class each: with one class Placement would
offer devices that the pools then refuse. The type that most of them have keeps the plain name.

Rules of a fleet file name an alias, its resource class or its NUMA policy otherwise.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import os_resource_classes
import os_traits

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.model import AliasRule
from nova_gpu_passthrough.fleet.notes import Note
from nova_gpu_passthrough.fleet.offers import Kind, Offer, Offered
from nova_gpu_passthrough.inventory.pci import DeviceType

#: What an alias stands for.
Key = tuple[Kind, str, DeviceType]
#: Placement's limit for names of resource classes and traits.
_MAX_NAME = 255
#: Which type keeps the plain name where there are as many of each.
_PREFERENCE = (DeviceType.PF, DeviceType.PCI, DeviceType.VF)


@dataclass(frozen=True)
class Alias:
    """One ``[pci] alias``."""

    name: str
    resource_class: str
    device_type: DeviceType
    kind: Kind
    model: str
    numa_policy: str

    def to_json(self) -> str:
        """The option's value; Nova wants every value to be a string."""
        return json.dumps(
            {
                "name": self.name,
                "device_type": str(self.device_type),
                "resource_class": self.resource_class,
                "numa_policy": self.numa_policy,
            }
        )


def key_of(offered: Offered) -> Key:
    """Which alias stands for a function."""
    return offered.kind, offered.model, offered.device.device_type


def make(
    offers: Iterable[Offer], numa_policy: str, rules: Iterable[AliasRule] = ()
) -> tuple[Mapping[Key, Alias], list[Note]]:
    """All aliases of the cloud, in the order of their names.

    :param rules: a rule that stands for no device of the offers changes nothing
    :raises UserError: if two models would get the same name
    """
    counts = _counts(offers)
    aliases = {key: _alias(key, counts, numa_policy) for key in counts}
    for rule in rules:
        key = key_of_rule(rule, counts)
        if key in aliases:
            aliases[key] = _ruled(aliases[key], rule)
    _check_names(aliases.values())
    ordered = dict(sorted(aliases.items(), key=lambda item: item[1].name))
    return ordered, list(_notes(ordered))


def key_of_rule(rule: AliasRule, devices: Iterable[Offer] | Mapping[Key, int]) -> Key | None:
    """Which alias a rule of a fleet file is about; None if no device has what it names.

    :param devices: offers, or how many devices of each kind there are
    """
    counts = devices if isinstance(devices, Mapping) else _counts(devices)
    kind = Kind(rule.kind)
    if rule.device_type is None:
        usual = _usual(kind, rule.model, counts)
        return (kind, rule.model, usual) if usual else None
    key = kind, rule.model, DeviceType(rule.device_type)
    return key if counts.get(key) else None


def trait(*words: str) -> str:
    """A custom trait's name, normalised as Nova does."""
    name: str = os_traits.normalize_name("_".join(words))
    return name[:_MAX_NAME]


def _counts(offers: Iterable[Offer]) -> Counter[Key]:
    return Counter(key_of(offered) for offer in offers for offered in offer.devices)


def _usual(kind: Kind, model: str, counts: Mapping[Key, int]) -> DeviceType | None:
    """The device type that most functions of a kind have."""
    types = [other for other in _PREFERENCE if counts.get((kind, model, other))]
    return max(types, key=lambda other: counts[kind, model, other], default=None)


def _ruled(alias: Alias, rule: AliasRule) -> Alias:
    return replace(
        alias,
        name=rule.name or alias.name,
        resource_class=_class(rule.resource_class) if rule.resource_class else alias.resource_class,
        numa_policy=rule.numa_policy or alias.numa_policy,
    )


def _class(name: str) -> str:
    """A resource class as Nova will call it (nova/compute/pci_placement_translator.py)."""
    name = name.upper()
    if name in os_resource_classes.STANDARDS or os_resource_classes.is_custom(name):
        return name
    normal: str = os_resource_classes.normalize_name(name)
    return normal[:_MAX_NAME]


def _alias(key: Key, counts: Counter[Key], numa_policy: str) -> Alias:
    kind, model, device_type = key
    usual = _usual(kind, model, counts)
    family = "NIC" if kind is Kind.NIC else "GPU"
    words = ["nic", model] if kind is Kind.NIC else [model]
    if kind not in (Kind.GPU, Kind.NIC):
        words.append(kind)
    if device_type is not usual:
        words.append(device_type)
    name = re.sub(r"[^a-z0-9._]+", "-", "-".join(words).lower()).strip("-")
    if kind is not Kind.NIC:
        words.insert(0, family)
    resource_class: str = os_resource_classes.normalize_name("_".join(words))
    return Alias(name, resource_class[:_MAX_NAME], device_type, kind, model, numa_policy)


def _check_names(aliases: Iterable[Alias]) -> None:
    seen: dict[str, Alias] = {}
    for alias in aliases:
        for name in (alias.name, alias.resource_class):
            other = seen.setdefault(name, alias)
            if other is not alias:
                raise UserError(
                    f"models {other.model} and {alias.model} would both be {name}: name them apart "
                    "with nova-gpu host audit --gpu VENDOR:PRODUCT=MODEL, or in the fleet file's "
                    "aliases"
                )
        if not alias.name:
            raise UserError(
                f"model {alias.model!r} has no letter or digit for an alias's name: name it with "
                "nova-gpu host audit --gpu VENDOR:PRODUCT=MODEL"
            )


def _notes(aliases: Mapping[Key, Alias]) -> Iterator[Note]:
    by_model: dict[tuple[Kind, str], list[Alias]] = {}
    for (kind, model, _), alias in aliases.items():
        by_model.setdefault((kind, model), []).append(alias)
    for (kind, model), members in by_model.items():
        if len(members) > 1 and kind is not Kind.NIC:
            what = ", ".join(f"{alias.name} ({alias.device_type})" for alias in members)
            yield Note(
                None,
                f"{model} has more than one device type in this cloud, which one alias of Nova "
                f"cannot serve: aliases {what}; SR-IOV switched on (or off) alike in the firmware "
                "of all hosts makes them one",
            )
