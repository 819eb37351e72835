# SPDX-License-Identifier: Apache-2.0
"""Flavors of the cloud, with who may use them."""

from collections.abc import Mapping
from typing import Any

from nova_gpu_passthrough.cloud.view.api import Api
from nova_gpu_passthrough.cloud.view.model import CloudFlavor


def read(api: Api) -> tuple[CloudFlavor, ...]:
    """All flavors, those that are not public included, in the order of their names."""
    found = list(api.pages("/flavors/detail", "flavors", is_public="None"))
    private = [flavor["id"] for flavor in found if not _is_public(flavor)]
    access = dict(
        zip(
            private,
            api.each("access to flavors", private, lambda flavor: _access(api, flavor)),
            strict=True,
        )
    )
    flavors = (_flavor(flavor, access.get(flavor["id"])) for flavor in found)
    return tuple(sorted(flavors, key=lambda flavor: flavor.name))


def _access(api: Api, flavor: str) -> tuple[str, ...]:
    body = api.nova(f"/flavors/{flavor}/os-flavor-access")
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
