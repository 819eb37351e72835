# SPDX-License-Identifier: Apache-2.0
"""The values of ``[pci] alias``, read as Nova reads them.

The rules are those of nova/pci/request.py, the same in all supported releases.
"""

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema
from oslo_utils import strutils

from nova_gpu_passthrough.cloud.lint.configuration.config_files import Assignment, Configuration
from nova_gpu_passthrough.inventory.pci import DeviceType
from nova_gpu_passthrough.nova_rules import resource_names

#: The option and its deprecated name.
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
    """An alias in the configuration of a service."""

    name: str
    #: As written, without the name.
    keys: Mapping[str, str]
    assignment: Assignment

    @property
    def device_type(self) -> str | None:
        """The device type.

        None selects any type but PF (``_filter_pools_for_unrequested_pfs`` in nova/pci/stats.py).
        """
        return self.keys.get("device_type")

    @property
    def numa_policy(self) -> str:
        """The NUMA policy, by default legacy as in Nova."""
        return self.keys.get("numa_policy") or "legacy"

    @property
    def has_ids(self) -> bool:
        """Whether it has vendor and product id."""
        return "vendor_id" in self.keys and "product_id" in self.keys

    @property
    def resource_class(self) -> str:
        """The resource class that Nova requests from Placement."""
        keys = self.keys
        return resource_names.normalize_resource_class(
            keys.get("resource_class"), keys.get("vendor_id"), keys.get("product_id")
        )

    @functools.cached_property
    def normal_form(self) -> Mapping[str, object]:
        """The keys in normal form: equal for aliases that Nova treats alike."""
        return normalize(self.keys)

    def selects(self, vendor_id: str, product_id: str, resource_class: str) -> bool:
        """Return whether it selects a device, apart from its device type and traits.

        :param resource_class: the device's resource class in Placement
        """
        if self.has_ids and (
            self.keys["vendor_id"].lower() != vendor_id
            or self.keys["product_id"].lower() != product_id
        ):
            return False
        if "resource_class" in self.keys:
            return self.resource_class == resource_class
        return self.has_ids

    def accepts_type(self, device_type: DeviceType) -> bool:
        """Return whether it selects devices of a type."""
        if self.device_type is None:
            return device_type is not DeviceType.PF
        return self.device_type == device_type


def normalize(keys: Mapping[str, str]) -> Mapping[str, object]:
    """Return the keys of an alias, without its name, in normal form."""
    result: dict[str, object] = {"numa_policy": keys.get("numa_policy") or "legacy"}
    for key, value in keys.items():
        if key in ("vendor_id", "product_id"):
            result[key] = value.lower()
        elif key == "resource_class":
            result[key] = resource_names.normalize_resource_class(value, None, None)
        elif key == "traits":
            result[key] = ",".join(sorted(resource_names.normalize_traits(value)))
        elif key == "live_migratable":
            result[key] = strutils.bool_from_string(value)
        elif key == "device_type":
            result[key] = value
    return result


def parse(assignment: Assignment) -> ConfiguredAlias:
    """Parse one value of the option.

    :raises ValueError: with a description, if Nova would refuse it
    """
    try:
        value = json.loads(assignment.value)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None
    violation = jsonschema.exceptions.best_match(
        jsonschema.Draft4Validator(_RULES).iter_errors(value)
    )
    if violation is not None:
        key = ".".join(str(part) for part in violation.absolute_path)
        raise ValueError(f"key {key}: {violation.message}" if key else violation.message)
    name = value.pop("name").strip()
    try:
        if "live_migratable" in value:
            strutils.bool_from_string(value["live_migratable"], strict=True)
    except ValueError:
        raise ValueError("key live_migratable: neither yes nor no") from None
    return ConfiguredAlias(name, value, assignment)


def valid_aliases(configuration: Configuration) -> tuple[ConfiguredAlias, ...]:
    """Return the aliases of a service, except those that Nova would refuse."""
    return tuple(_valid(configuration.all(*OPTIONS)))


def all_valid(configuration: Configuration) -> bool:
    """Return whether Nova would refuse no alias of the service."""
    return len(valid_aliases(configuration)) == len(configuration.all(*OPTIONS))


def _valid(assignments: Iterable[Assignment]) -> Iterable[ConfiguredAlias]:
    for assignment in assignments:
        try:
            yield parse(assignment)
        except ValueError:
            # alias_syntax reports this.
            continue
