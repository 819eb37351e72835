# SPDX-License-Identifier: Apache-2.0
"""``[pci] device_spec`` as Nova reads it (nova/pci/devspec.py, nova/pci/whitelist.py)."""

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from oslo_utils import strutils

from nova_gpu_passthrough.cloud.lint.configuration.parser import Assignment
from nova_gpu_passthrough.cloud.lint.configuration.values import Configuration
from nova_gpu_passthrough.inventory.pci import PciDevice
from nova_gpu_passthrough.nova_rules import names
from nova_gpu_passthrough.topology import tags

#: The option and the names that it had before.
OPTIONS = (
    ("pci", "device_spec"),
    ("pci", "passthrough_whitelist"),
    ("DEFAULT", "pci_passthrough_whitelist"),
)
_FLAGS = ("managed", "live_migratable", "one_time_use")
#: Parts of an address: name, largest value, hex digits.
_PARTS = (("domain", 0xFFFF, 4), ("bus", 0xFF, 2), ("slot", 0x1F, 2), ("function", 7, 1))
_ANY = "*"

_Match = Callable[[PciDevice], bool]


@dataclass(frozen=True)
class Entry:
    """One dict of the option."""

    keys: Mapping[str, Any]
    assignment: Assignment
    matches_ids: _Match
    matches_address: _Match

    def matches(self, device: PciDevice) -> bool:
        """Whether it lets servers have a device; not told for one by ``devname``."""
        return self.matches_ids(device) and self.matches_address(device)

    @property
    def by_name(self) -> bool:
        """Whether it names a network interface, which only the host can look up."""
        return bool(self.keys.get("devname"))

    @property
    def tags(self) -> Mapping[str, str]:
        """Our own tags."""
        return {key: str(value) for key, value in self.keys.items() if key.startswith(tags.PREFIX)}

    @property
    def traits(self) -> frozenset[str]:
        """Traits, but for those that Nova adds."""
        return names.traits(self.keys.get("traits"))

    def flag(self, key: str, default: bool) -> bool:
        """A yes or no."""
        value = self.keys.get(key)
        return default if value is None else strutils.bool_from_string(value)

    def resource_class(self, device: PciDevice) -> str:
        """The resource class of a device that it matches."""
        wanted = self.keys.get("resource_class")
        return names.resource_class(wanted, device.vendor_id, device.product_id)


def parse(assignment: Assignment) -> tuple[Entry, ...]:
    """Read one value: a dict, or a list of dicts.

    :raises ValueError: with a sentence, if Nova would refuse it
    """
    try:
        value = json.loads(assignment.value)
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from None
    dicts = value if isinstance(value, list) else [value]
    return tuple(_entry(keys, assignment) for keys in dicts)


def readable(configuration: Configuration) -> tuple[Entry, ...]:
    """The entries of a compute node in their order, without those that Nova would refuse."""
    return tuple(_readable(configuration.all(*OPTIONS)))


def all_readable(configuration: Configuration) -> bool:
    """Whether Nova would refuse none: otherwise nova-compute does not start."""
    for assignment in configuration.all(*OPTIONS):
        try:
            parse(assignment)
        except ValueError:
            return False
    return True


def _readable(assignments: Iterable[Assignment]) -> Iterable[Entry]:
    for assignment in assignments:
        try:
            yield from parse(assignment)
        except ValueError:
            # A check of its own tells of it.
            continue


def _entry(keys: Any, assignment: Assignment) -> Entry:
    if not isinstance(keys, dict):
        raise ValueError(f"{keys!r} is no dict")
    for key in ("vendor_id", "product_id"):
        if not isinstance(keys.get(key, _ANY), str):
            raise ValueError(f"key {key}: {keys[key]!r} is no text")
    for key in ("devname", "resource_class", "traits"):
        if keys.get(key) is not None and not isinstance(keys[key], str):
            raise ValueError(f"key {key}: {keys[key]!r} is no text")
    for key in _FLAGS:
        if keys.get(key) is not None:
            try:
                strutils.bool_from_string(keys[key], strict=True)
            except ValueError:
                raise ValueError(f"key {key}: {keys[key]!r} is neither yes nor no") from None
    if keys.get("address") and keys.get("devname"):
        raise ValueError("both address and devname")
    vendor = _hex("vendor_id", keys.get("vendor_id", _ANY).strip(), 0xFFFF, 4)
    product = _hex("product_id", keys.get("product_id", _ANY).strip(), 0xFFFF, 4)

    def matches_ids(device: PciDevice) -> bool:
        return vendor in (_ANY, device.vendor_id) and product in (_ANY, device.product_id)

    return Entry(keys, assignment, matches_ids, _address(keys))


def _address(keys: Mapping[str, Any]) -> _Match:
    if keys.get("devname"):
        return lambda device: False
    address = keys.get("address") or "*:*:*.*"
    if isinstance(address, str):
        return _glob(address)
    if isinstance(address, dict):
        return _patterns(address)
    raise ValueError(f"key address: {address!r} is neither text nor dict")


def _glob(text: str) -> _Match:
    """What ``[[[domain:]bus:]slot][.function]`` matches, an empty part being any."""
    first, _, function = text.partition(".")
    parts = first.split(":") if first else []
    if len(parts) > 3:
        raise ValueError(f"key address: {text!r} has too many parts")
    words = [_ANY] * (3 - len(parts)) + [part.strip() or _ANY for part in parts]
    words.append(function.strip() or _ANY)
    wanted = [
        _hex(f"address, {name}", word, most, digits)
        for word, (name, most, digits) in zip(words, _PARTS, strict=True)
    ]
    single = _ANY not in wanted

    def matches(device: PciDevice) -> bool:
        if single and device.physical_function and _equal(wanted, device.physical_function):
            # The address of a PF stands for its VFs, too.
            return True
        return _equal(wanted, device.address)

    return matches


def _equal(wanted: Iterable[str], address: str) -> bool:
    return all(word in (_ANY, part) for word, part in zip(wanted, _split(address), strict=True))


def _patterns(address: Mapping[str, Any]) -> _Match:
    words = [address.get(name, ".*") for name, _, _ in _PARTS]
    try:
        patterns = [re.compile(word) for word in words]
    except (re.error, TypeError):
        raise ValueError(f"key address: {address!r} has no regular expressions") from None
    # An expression may be an address.
    exact = "{}:{}:{}.{}".format(*words)

    def matches(device: PciDevice) -> bool:
        if device.physical_function == exact:
            return True
        parts = _split(device.address)
        return all(p.match(part) for p, part in zip(patterns, parts, strict=True))

    return matches


@functools.cache
def _split(address: str) -> tuple[str, ...]:
    return tuple(re.split("[:.]", address))


def _hex(name: str, text: str, most: int, digits: int) -> str:
    """A part as Nova writes it."""
    if text == _ANY:
        return text
    try:
        number = int(text, 16)
    except ValueError:
        raise ValueError(f"key {name}: {text!r} is no hexadecimal number") from None
    if number > most:
        raise ValueError(f"key {name}: {text!r} is more than {most:x}")
    return f"{number:0{digits}x}"
