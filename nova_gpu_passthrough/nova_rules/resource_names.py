# SPDX-License-Identifier: Apache-2.0
"""Normalise the names of resource classes and traits in ``[pci]`` options as Nova does.

Restates ``_normalize_resource_class``, ``get_resource_class`` and ``_normalize_traits`` in
nova/compute/pci_placement_translator.py, which are the same in all supported releases.
"""

import functools
import re

import os_resource_classes
import os_traits

#: Prefix of the resource classes that Nova derives from PCI ids.
PCI_CLASS_PREFIX = f"{os_resource_classes.CUSTOM_NAMESPACE}PCI_"
_CLASS_BY_IDS = re.compile(PCI_CLASS_PREFIX + "([0-9A-F]{4})_([0-9A-F]{4})")


@functools.cache
def normalize_resource_class(
    configured: str | None, vendor_id: str | None, product_id: str | None
) -> str:
    """Return the resource class of a device_spec or an alias.

    :param configured: the value of ``resource_class``; None: the default, which has the PCI ids
    """
    if not configured:
        return f"{PCI_CLASS_PREFIX}{vendor_id}_{product_id}".upper()
    name = configured.upper()
    if name in os_resource_classes.STANDARDS or os_resource_classes.is_custom(name):
        return name
    normalized: str = os_resource_classes.normalize_name(name)
    return normalized


def ids_of(resource_class: str) -> tuple[str, str] | None:
    """Return vendor and product id of a resource class that Nova derived from them, else None."""
    match = _CLASS_BY_IDS.fullmatch(resource_class)
    return (match[1].lower(), match[2].lower()) if match else None


@functools.cache
def normalize_traits(text: str | None) -> frozenset[str]:
    """Return the traits of a comma-separated list."""
    if not text:
        return frozenset()
    standard, rest = os_traits.check_traits(text.split(","))
    custom = {
        name.upper() if os_traits.is_custom(name.upper()) else os_traits.normalize_name(name)
        for name in rest
    }
    return frozenset(standard) | frozenset(custom)
