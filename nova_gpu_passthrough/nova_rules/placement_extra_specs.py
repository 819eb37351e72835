# SPDX-License-Identifier: Apache-2.0
"""Read the extra specs that become part of a request to Placement, such as ``resources1:VGPU``.

Restates the pattern of ``ResourceRequest`` in nova/scheduler/utils.py.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_KEY = re.compile(r"^(resources|trait)([a-zA-Z0-9_-]{1,64})?:(.*)$")


class PlacementExtraSpec(NamedTuple):
    """A resource class or a trait in the extra specs of a flavor."""

    key: str
    #: The group of the request, such as ``1`` or ``_NET``; empty for the host's own provider.
    group: str
    #: The resource class or trait.
    name: str
    value: str


def resources(extra_specs: Mapping[str, str]) -> Iterator[PlacementExtraSpec]:
    """Yield the resource classes that a flavor requests by ``resources:CLASS``."""
    return _matching("resources", extra_specs)


def traits(extra_specs: Mapping[str, str]) -> Iterator[PlacementExtraSpec]:
    """Yield the traits that a flavor requires or forbids by ``trait:TRAIT``."""
    return _matching("trait", extra_specs)


def _matching(namespace: str, extra_specs: Mapping[str, str]) -> Iterator[PlacementExtraSpec]:
    for key, value in extra_specs.items():
        match = _KEY.match(key)
        if match and match[1] == namespace:
            yield PlacementExtraSpec(key, match[2] or "", match[3], value)
