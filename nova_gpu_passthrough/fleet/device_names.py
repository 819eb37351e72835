# SPDX-License-Identifier: Apache-2.0
"""Names of the fleet's devices in Nova and Placement: aliases, resource classes and traits."""

import re
from collections.abc import Iterable, Iterator, Sequence

import os_resource_classes
import os_traits

from nova_gpu_passthrough.fleet.offers import DeviceKind
from nova_gpu_passthrough.inventory.pci import DeviceType
from nova_gpu_passthrough.nova_rules import resource_names

#: Placement's limit for names of resource classes and traits.
_MAX_NAME = 255
_GPU, _NIC = "GPU", "NIC"
_MODEL, _LINK, _NUMA, _GROUP = "GPU_MODEL", "GPU_LINK", "NUMA", "GPU_GROUP"
#: Prefix of the traits that name a GPU model.
MODEL_TRAIT_PREFIX = f"{os_traits.CUSTOM_NAMESPACE}{_MODEL}_"
#: Prefixes of the traits that only devices have.
DEVICE_TRAIT_PREFIXES = (
    MODEL_TRAIT_PREFIX,
    *(f"{os_traits.CUSTOM_NAMESPACE}{name}_" for name in (_LINK, f"{_GPU}_NUMA", f"{_NIC}_NUMA")),
)
#: Prefixes of the resource classes of devices, generated here or derived by Nova.
DEVICE_CLASS_PREFIXES = (
    *(f"{os_resource_classes.CUSTOM_NAMESPACE}{name}_" for name in (_GPU, _NIC)),
    resource_names.PCI_CLASS_PREFIX,
)
_COMPANIONS = "|".join(
    kind.name for kind in DeviceKind if kind not in (DeviceKind.GPU, DeviceKind.NIC)
)
_TYPES = "|".join(os_traits.normalize_name(one).removeprefix("CUSTOM_") for one in DeviceType)
_COMPANION_CLASS = re.compile(f"CUSTOM_{_GPU}_.+_({_COMPANIONS})(_({_TYPES}))?")
_NUMA_TRAIT = re.compile(f"CUSTOM_(?:{_GPU}|{_NIC})_{_NUMA}_([0-9]+)")
_LINK_TRAIT = re.compile(f"CUSTOM_{_LINK}_(.+)")


def alias(kind: DeviceKind, model: str, device_type: DeviceType | None = None) -> str:
    """Return the default name of an alias; empty if the model has no letter or digit.

    :param device_type: None for the usual device type of the model
    """
    words = [kind, model] if kind is DeviceKind.NIC else [model, *_suffixes(kind)]
    text = "-".join([*words, *filter(None, (device_type,))]).lower()
    return re.sub(r"[^a-z0-9._]+", "-", text).strip("-")


def resource_class(kind: DeviceKind, model: str, device_type: DeviceType | None = None) -> str:
    """Return the default resource class of an alias; see `alias`."""
    words = [_family(kind), model, *_suffixes(kind), *filter(None, (device_type,))]
    name: str = os_resource_classes.normalize_name("_".join(words))
    return name[:_MAX_NAME]


def default_class_of(alias_name: str) -> str:
    """Return the default resource class of an alias that has its default name, see `alias`."""
    words = alias_name if alias_name.startswith(f"{DeviceKind.NIC}-") else f"{_GPU}_{alias_name}"
    return configured_resource_class(words)


def model_of_class(name: str, models: Iterable[str]) -> str | None:
    """Return the GPU model of a default resource class; None for companions and other devices.

    :param models: names of known models; of another model, the rest of the class is returned
    """
    prefix = f"{os_resource_classes.CUSTOM_NAMESPACE}{_GPU}_"
    if not name.startswith(prefix) or is_companion_class(name):
        return None
    names = {
        resource_class(DeviceKind.GPU, model, device_type): model
        for device_type in (*DeviceType, None)
        for model in models
    }
    return names.get(name, name.removeprefix(prefix))


def configured_resource_class(name: str) -> str:
    """Return the resource class that Nova makes of a name, with Placement's maximum length."""
    return resource_names.normalize_resource_class(name, None, None)[:_MAX_NAME]


def is_companion_class(name: str) -> bool:
    """Check whether a resource class is the default one of companions of a GPU."""
    return _COMPANION_CLASS.fullmatch(name) is not None


def model_trait(model: str) -> str:
    """Return the trait of devices of a GPU model and of their companions."""
    return _trait(_MODEL, model)


def link_trait(link_group: str) -> str:
    """Return the trait of GPUs of a link group."""
    return _trait(_LINK, link_group)


def numa_trait(kind: DeviceKind, node: int) -> str:
    """Return the trait of devices on a NUMA node."""
    return _trait(_family(kind), _NUMA, str(node))


def group_trait(groups: Sequence[str]) -> str:
    """Return the one trait of hosts of some groups.

    A flavor cannot require one of several traits.
    """
    return _trait(_GROUP, *sorted(groups))


def model_of(traits: Iterable[str], models: Iterable[str]) -> str | None:
    """Return the GPU model that traits name; the rest of the trait if the model is not known.

    :param models: names of known models
    """
    trait = min((one for one in traits if one.startswith(MODEL_TRAIT_PREFIX)), default=None)
    if trait is None:
        return None
    names = {model_trait(model): model for model in models}
    return names.get(trait, trait.removeprefix(MODEL_TRAIT_PREFIX))


def link_group_of(traits: Iterable[str]) -> str | None:
    """Return the link group that traits name, in lower case.

    Traits are in upper case; names of link groups are nearly always in lower case.
    """
    return min((link.lower() for link in _matches(_LINK_TRAIT, traits)), default=None)


def numa_node_of(traits: Iterable[str]) -> int | None:
    """Return the NUMA node that traits name."""
    return min(map(int, _matches(_NUMA_TRAIT, traits)), default=None)


def _trait(*words: str) -> str:
    name: str = os_traits.normalize_name("_".join(words))
    return name[:_MAX_NAME]


def _family(kind: DeviceKind) -> str:
    return _NIC if kind is DeviceKind.NIC else _GPU


def _suffixes(kind: DeviceKind) -> list[str]:
    return [] if kind in (DeviceKind.GPU, DeviceKind.NIC) else [kind]


def _matches(pattern: re.Pattern[str], traits: Iterable[str]) -> Iterator[str]:
    for trait in traits:
        match = pattern.fullmatch(trait)
        if match:
            yield match[1]
