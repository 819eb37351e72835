# SPDX-License-Identifier: Apache-2.0
"""``[pci] alias`` as Nova reads it (nova/pci/request.py, the same from Nova 31 to 34)."""

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema
from oslo_utils import strutils

from nova_gpu_passthrough.cloud.lint.configuration.parser import Assignment
from nova_gpu_passthrough.cloud.lint.configuration.values import Configuration
from nova_gpu_passthrough.inventory.pci import DeviceType
from nova_gpu_passthrough.nova_rules import names

#: The option and the name that it had before.
OPTIONS = (("pci", "alias"), ("DEFAULT", "pci_alias"))
_IDS = {"type": "string", "pattern": r"^[0-9a-fA-F]{4}$"}
_TEXT = {"type": "string"}
#: Any other key makes Nova refuse all aliases.
_RULES: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 256},
        "capability_type": {"enum": ["pci"]},
        "vendor_id": _IDS,
        "product_id": _IDS,
        "device_type": {"enum": ["type-PCI", "type-PF", "type-VF"]},
        "numa_policy": {"enum": ["required", "preferred", "legacy", "socket"]},
        "resource_class": _TEXT,
        "traits": _TEXT,
        "live_migratable": _TEXT,
    },
    "required": ["name"],
}


@dataclass(frozen=True)
class ConfiguredAlias:
    """One value of the option."""

    name: str
    #: As they are written, without the name.
    keys: Mapping[str, str]
    assignment: Assignment

    @property
    def device_type(self) -> str | None:
        """None: any type but PF (``_filter_pools_for_unrequested_pfs`` in nova/pci/stats.py)."""
        return self.keys.get("device_type")

    @property
    def numa_policy(self) -> str:
        """Nova's default is legacy."""
        return self.keys.get("numa_policy") or "legacy"

    @property
    def has_ids(self) -> bool:
        """Whether it names vendor and product."""
        return "vendor_id" in self.keys and "product_id" in self.keys

    @property
    def resource_class(self) -> str:
        """The one that Nova asks Placement for."""
        keys = self.keys
        return names.resource_class(
            keys.get("resource_class"), keys.get("vendor_id"), keys.get("product_id")
        )

    @functools.cached_property
    def meaning(self) -> Mapping[str, object]:
        """Its keys as Nova understands them: two aliases that mean the same have equal ones."""
        return meaning(self.keys)

    def asks_for(self, vendor_id: str, product_id: str, resource_class: str) -> bool:
        """Whether it means such a device, whatever the device's type.

        :param resource_class: the device's in Placement
        """
        if self.has_ids and (
            self.keys["vendor_id"].lower() != vendor_id
            or self.keys["product_id"].lower() != product_id
        ):
            return False
        if "resource_class" in self.keys:
            return self.resource_class == resource_class
        return self.has_ids

    def gets(self, device_type: DeviceType) -> bool:
        """Whether it gets devices of a type."""
        if self.device_type is None:
            return device_type is not DeviceType.PF
        return self.device_type == device_type


def meaning(keys: Mapping[str, str]) -> Mapping[str, object]:
    """An alias's keys as Nova understands them, without its name."""
    result: dict[str, object] = {"numa_policy": keys.get("numa_policy") or "legacy"}
    for key, value in keys.items():
        if key in ("vendor_id", "product_id"):
            result[key] = value.lower()
        elif key == "resource_class":
            result[key] = names.resource_class(value, None, None)
        elif key == "traits":
            result[key] = ",".join(sorted(names.traits(value)))
        elif key == "live_migratable":
            result[key] = strutils.bool_from_string(value)
        elif key == "device_type":
            result[key] = value
    return result


def parse(assignment: Assignment) -> ConfiguredAlias:
    """Read one value.

    :raises ValueError: with a sentence, if Nova would refuse it
    """
    try:
        value = json.loads(assignment.value)
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from None
    worst = jsonschema.exceptions.best_match(jsonschema.Draft4Validator(_RULES).iter_errors(value))
    if worst is not None:
        key = ".".join(str(part) for part in worst.absolute_path)
        raise ValueError(f"key {key}: {worst.message}" if key else worst.message)
    name = value.pop("name").strip()
    try:
        if "live_migratable" in value:
            strutils.bool_from_string(value["live_migratable"], strict=True)
    except ValueError:
        raise ValueError("key live_migratable: neither yes nor no") from None
    return ConfiguredAlias(name, value, assignment)


def readable(configuration: Configuration) -> tuple[ConfiguredAlias, ...]:
    """The aliases of a service, without those that Nova would refuse."""
    return tuple(_readable(configuration.all(*OPTIONS)))


def all_readable(configuration: Configuration) -> bool:
    """Whether Nova would refuse none."""
    return len(readable(configuration)) == len(configuration.all(*OPTIONS))


def _readable(assignments: Iterable[Assignment]) -> Iterable[ConfiguredAlias]:
    for assignment in assignments:
        try:
            yield parse(assignment)
        except ValueError:
            # A check of its own tells of it.
            continue
