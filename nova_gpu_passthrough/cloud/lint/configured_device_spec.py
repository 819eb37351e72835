# SPDX-License-Identifier: Apache-2.0
"""The values of ``[pci] device_spec``, read as Nova reads them.

The rules are those of nova/pci/devspec.py and nova/pci/whitelist.py.
"""

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from oslo_utils import strutils

from nova_gpu_passthrough.cloud.lint.configuration.config_files import Assignment, Configuration
from nova_gpu_passthrough.inventory.pci import PciDevice
from nova_gpu_passthrough.nova_rules import resource_names
from nova_gpu_passthrough.topology import tags

#: The option and its deprecated names.
OPTIONS = (
    ("pci", "device_spec"),
    ("pci", "passthrough_whitelist"),
    ("DEFAULT", "pci_passthrough_whitelist"),
)
_FLAGS = ("managed", "live_migratable", "one_time_use")
#: Fields of a PCI address: name, largest value, hex digits.
_ADDRESS_FIELDS = (("domain", 0xFFFF, 4), ("bus", 0xFF, 2), ("slot", 0x1F, 2), ("function", 7, 1))
_ANY = "*"

_Match = Callable[[PciDevice], bool]


@dataclass(frozen=True)
class DeviceSpecEntry:
    """One entry of the option."""

    keys: Mapping[str, Any]
    assignment: Assignment
    matches_ids: _Match
    matches_address: _Match

    def matches(self, device: PciDevice) -> bool:
        """Return whether it matches a device; always false for an entry with ``devname``."""
        return self.matches_ids(device) and self.matches_address(device)

    @property
    def has_devname(self) -> bool:
        """Whether it names a network interface, which can be resolved only on the host."""
        return bool(self.keys.get("devname"))

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags of nova-gpu-passthrough."""
        return {key: str(value) for key, value in self.keys.items() if key.startswith(tags.PREFIX)}

    @property
    def traits(self) -> frozenset[str]:
        """The traits, without those that Nova adds."""
        return resource_names.normalize_traits(self.keys.get("traits"))

    def flag(self, key: str, default: bool) -> bool:
        """Return the value of a boolean key."""
        value = self.keys.get(key)
        return default if value is None else strutils.bool_from_string(value)

    def resource_class(self, device: PciDevice) -> str:
        """Return the resource class of a matched device."""
        requested = self.keys.get("resource_class")
        return resource_names.normalize_resource_class(
            requested, device.vendor_id, device.product_id
        )


def parse(assignment: Assignment) -> tuple[DeviceSpecEntry, ...]:
    """Parse one value of the option: a dict, or a list of dicts.

    :raises ValueError: with a description, if Nova would refuse it
    """
    try:
        value = json.loads(assignment.value)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None
    dicts = value if isinstance(value, list) else [value]
    return tuple(_entry(keys, assignment) for keys in dicts)


def valid_entries(configuration: Configuration) -> tuple[DeviceSpecEntry, ...]:
    """Return the entries of a compute node in order, except those that Nova would refuse."""
    return tuple(_valid(configuration.all(*OPTIONS)))


def all_valid(configuration: Configuration) -> bool:
    """Return whether Nova would refuse no value; otherwise nova-compute does not start."""
    for assignment in configuration.all(*OPTIONS):
        try:
            parse(assignment)
        except ValueError:
            return False
    return True


def _valid(assignments: Iterable[Assignment]) -> Iterable[DeviceSpecEntry]:
    for assignment in assignments:
        try:
            yield from parse(assignment)
        except ValueError:
            # device_spec_syntax reports this.
            continue


def _entry(keys: Any, assignment: Assignment) -> DeviceSpecEntry:
    if not isinstance(keys, dict):
        raise ValueError(f"{keys!r} is not a dict")
    for key in ("vendor_id", "product_id"):
        if not isinstance(keys.get(key, _ANY), str):
            raise ValueError(f"key {key}: {keys[key]!r} is not text")
    for key in ("devname", "resource_class", "traits"):
        if keys.get(key) is not None and not isinstance(keys[key], str):
            raise ValueError(f"key {key}: {keys[key]!r} is not text")
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

    return DeviceSpecEntry(keys, assignment, matches_ids, _address(keys))


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
    """Return a function that matches ``[[[domain:]bus:]slot][.function]``; empty matches any."""
    prefix, _, function = text.partition(".")
    parts = prefix.split(":") if prefix else []
    if len(parts) > 3:
        raise ValueError(f"key address: {text!r} has too many parts")
    words = [_ANY] * (3 - len(parts)) + [part.strip() or _ANY for part in parts]
    words.append(function.strip() or _ANY)
    pattern = [
        _hex(f"address, {name}", word, maximum, digits)
        for word, (name, maximum, digits) in zip(words, _ADDRESS_FIELDS, strict=True)
    ]
    is_single = _ANY not in pattern

    def matches(device: PciDevice) -> bool:
        if is_single and device.physical_function and _matches(pattern, device.physical_function):
            # The address of a PF also matches its VFs.
            return True
        return _matches(pattern, device.address)

    return matches


def _matches(pattern: Iterable[str], address: str) -> bool:
    return all(word in (_ANY, part) for word, part in zip(pattern, _split(address), strict=True))


def _patterns(address: Mapping[str, Any]) -> _Match:
    words = [address.get(name, ".*") for name, _, _ in _ADDRESS_FIELDS]
    try:
        patterns = [re.compile(word) for word in words]
    except (re.error, TypeError):
        raise ValueError(
            f"key address: {address!r} contains an invalid regular expression"
        ) from None
    # The expressions may be a literal address.
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


def _hex(name: str, text: str, maximum: int, digits: int) -> str:
    """Return an id or address field in Nova's notation."""
    if text == _ANY:
        return text
    try:
        value = int(text, 16)
    except ValueError:
        raise ValueError(f"key {name}: {text!r} is not a hexadecimal number") from None
    if value > maximum:
        raise ValueError(f"key {name}: {text!r} is more than {maximum:x}")
    return f"{value:0{digits}x}"
