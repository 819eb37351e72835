# SPDX-License-Identifier: Apache-2.0
"""Read the cloud's flavors and the projects that have access to them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cloud.view.model import CloudFlavor
from nova_gpu_passthrough.cloud.view.reader import CloudReader, Restricted
from nova_gpu_passthrough.fleet import derive_state

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet


def read(reader: CloudReader) -> tuple[CloudFlavor, ...]:
    """Read all flavors, private ones included, sorted by name."""
    bodies = list(reader.pages("/flavors/detail", "flavors", is_public="None"))
    private = [body["id"] for body in bodies if not _is_public(body)]
    projects = dict(
        zip(
            private,
            reader.each(
                "access to flavors",
                private,
                lambda flavor: (
                    reader.unless_forbidden(
                        Restricted.FLAVOR_ACCESS, lambda: _access(reader, flavor)
                    )
                    or ()
                ),
            ),
            strict=True,
        )
    )
    flavors = (_flavor(body, projects.get(body["id"])) for body in bodies)
    return tuple(sorted(flavors, key=lambda flavor: flavor.name))


def hidden(reader: CloudReader, resolved: "ResolvedFleet | None") -> tuple[CloudFlavor, ...]:
    """Return the fleet's private flavors, which Nova lists only to the role admin.

    They are as the fleet file defines them, and without id.
    """
    if reader.is_admin:
        return ()
    if resolved is None:
        reader.restricted[Restricted.FLAVORS] = None
        return ()
    reader.restricted[Restricted.FLAVORS_OF_FLEET] = None
    desired, _ = derive_state.make(resolved)
    return tuple(
        CloudFlavor(
            "",
            flavor.name,
            flavor.vcpus,
            flavor.ram_mib,
            flavor.disk_gib,
            False,
            dict(flavor.extra_specs),
            (),
        )
        for flavor in desired.flavors
        if flavor.projects is not None
    )


def read_own(reader: CloudReader) -> tuple[CloudFlavor, ...]:
    """Read the flavors that the caller's project may use, sorted by name."""
    flavors = (_flavor(body, None) for body in reader.pages("/flavors/detail", "flavors"))
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
        # Left out where a policy forbids to read them.
        dict(flavor.get("extra_specs") or {}),
        projects,
        flavor["OS-FLV-EXT-DATA:ephemeral"],
        flavor["swap"] or 0,
    )
