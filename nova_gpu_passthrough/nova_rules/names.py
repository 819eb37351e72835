# SPDX-License-Identifier: Apache-2.0
"""Names of resource classes and traits as Nova makes them of what configuration says.

``_normalize_resource_class``, ``get_resource_class`` and ``_normalize_traits`` in
nova/compute/pci_placement_translator.py, the same from Nova 31 to 34.
"""

import functools

import os_resource_classes
import os_traits


@functools.cache
def resource_class(wanted: str | None, vendor_id: str | None, product_id: str | None) -> str:
    """The resource class of a device or an alias."""
    if not wanted:
        return f"CUSTOM_PCI_{vendor_id}_{product_id}".upper()
    name = wanted.upper()
    if name in os_resource_classes.STANDARDS or os_resource_classes.is_custom(name):
        return name
    normal: str = os_resource_classes.normalize_name(name)
    return normal


@functools.cache
def traits(text: str | None) -> frozenset[str]:
    """The traits of a list between commas."""
    if not text:
        return frozenset()
    standard, rest = os_traits.check_traits(text.split(","))
    custom = {
        name.upper() if os_traits.is_custom(name.upper()) else os_traits.normalize_name(name)
        for name in rest
    }
    return frozenset(standard) | frozenset(custom)
