# SPDX-License-Identifier: Apache-2.0
"""Flavors as they are compared, and the servers that use one."""

from collections.abc import Mapping
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.apply.api import Api
from nova_gpu_passthrough.cloud.apply.change import Document
from nova_gpu_passthrough.cloud.apply.projects import Projects
from nova_gpu_passthrough.cloud.view.model import CloudFlavor
from nova_gpu_passthrough.fleet.desired import Flavor

#: Servers that are counted; of more it is said that there are more.
_MOST = 100


@dataclass(frozen=True)
class Sizes:
    """What Nova never changes of a flavor."""

    vcpus: int
    ram_mib: int
    disk_gib: int
    ephemeral_gib: int = 0
    swap_mib: int = 0
    public: bool = True

    @classmethod
    def of(cls, flavor: CloudFlavor) -> "Sizes":
        """Of a flavor of the cloud."""
        return cls(
            flavor.vcpus,
            flavor.ram_mib,
            flavor.disk_gib,
            flavor.ephemeral_gib,
            flavor.swap_mib,
            flavor.public,
        )

    @classmethod
    def wanted(cls, flavor: Flavor) -> "Sizes":
        """Of a flavor of the fleet file."""
        sizes = flavor.vcpus, flavor.ram_mib, flavor.disk_gib
        return cls(*sizes, public=flavor.projects is None)


@dataclass(frozen=True)
class Target:
    """What a flavor shall be; None: that part stays as it is."""

    #: None: any.
    id: str | None
    sizes: Sizes
    extra_specs: Mapping[str, str] | None
    #: Ids of projects.
    access: frozenset[str] | None


def document(
    sizes: Sizes,
    extra_specs: Mapping[str, str],
    access: frozenset[str] | None,
    projects: Projects,
) -> Document:
    """What people see of a flavor."""
    more = {"ephemeral_gib": sizes.ephemeral_gib, "swap_mib": sizes.swap_mib}
    return {
        "vcpus": sizes.vcpus,
        "ram_mib": sizes.ram_mib,
        "disk_gib": sizes.disk_gib,
        **{key: value for key, value in more.items() if value},
        "access": "public"
        if sizes.public
        else sorted(projects.name(number) for number in access or ()),
        "extra_specs": dict(sorted(extra_specs.items())),
    }


def users(api: Api, flavor: str) -> str | None:
    """Which servers have a flavor: ``3 servers have it (such as train-1)``; None if none."""
    wanted = {"all_tenants": "1", "flavor": flavor, "limit": str(_MOST)}
    servers = api.nova("/servers", **wanted)["servers"]
    if not servers:
        return None
    number = f"{len(servers)}{' or more' if len(servers) >= _MOST else ''}"
    plural = "server has" if len(servers) == 1 else "servers have"
    return f"{number} {plural} it (such as {servers[0]['name']}, {servers[0]['id']})"
