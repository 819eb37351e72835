# SPDX-License-Identifier: Apache-2.0
"""Read the cloud's flavors and the projects that have access to them."""

from collections.abc import Mapping
from typing import Any

from nova_gpu_passthrough.cloud.view.model import CloudFlavor
from nova_gpu_passthrough.cloud.view.reader import CloudReader


def read(reader: CloudReader) -> tuple[CloudFlavor, ...]:
    """Read all flavors, private ones included, sorted by name."""
    bodies = list(reader.pages("/flavors/detail", "flavors", is_public="None"))
    private = [body["id"] for body in bodies if not _is_public(body)]
    projects = dict(
        zip(
            private,
            reader.each("access to flavors", private, lambda flavor: _access(reader, flavor)),
            strict=True,
        )
    )
    flavors = (_flavor(body, projects.get(body["id"])) for body in bodies)
    return tuple(sorted(flavors, key=lambda flavor: flavor.name))


def _access(reader: CloudReader, flavor: str) -> tuple[str, ...]:
    body = reader.nova(f"/flavors/{flavor}/os-flavor-access")
    return tuple(sorted(entry["tenant_id"] for entry in body["flavor_access"]))


def _is_public(flavor: Mapping[str, Any]) -> bool:
    return bool(flavor["os-flavor-access:is_public"])


def _flavor(flavor: Mapping[str, Any], projects: tuple[str, ...] | None) -> CloudFlavor:
    return CloudFlavor(
        flavor["id"],
        flavor["name"],
        flavor["vcpus"],
        flavor["ram"],
        flavor["disk"],
        _is_public(flavor),
        dict(flavor["extra_specs"]),
        projects,
        flavor["OS-FLV-EXT-DATA:ephemeral"],
        flavor["swap"] or 0,
    )
