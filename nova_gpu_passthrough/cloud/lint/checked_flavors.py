# SPDX-License-Identifier: Apache-2.0
"""The flavors that the checks examine: those of the fleet file and of the cloud."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet import references
from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.fleet.offers import DeviceKind
from nova_gpu_passthrough.inventory.shell_fix import command


@dataclass(frozen=True)
class CheckedFlavor:
    """A flavor of the fleet file or of the cloud."""

    name: str
    vcpus: int
    ram_mib: int
    extra_specs: Mapping[str, str]
    #: File or Nova flavor, for findings.
    where: str
    #: Id in Nova; None for a flavor of the fleet file.
    id: str | None = None
    #: Whether the fleet file has a flavor of that name.
    in_fleet: bool = True

    @property
    def subject(self) -> str:
        """The subject of findings about the flavor."""
        return f"flavor {self.name}"

    @property
    def devices(self) -> Mapping[str, int]:
        """The number of requested devices by alias; empty if the extra spec is invalid."""
        try:
            return references.requested_devices(self.extra_specs)
        except ValueError:
            return {}

    def fleet_devices(self, facts: Facts) -> Mapping[Alias, int]:
        """Return the number of requested devices by alias, for aliases of the fleet."""
        return {
            facts.aliases[name]: count
            for name, count in self.devices.items()
            if name in facts.aliases
        }

    def set_extra_spec(self, facts: Facts, key: str, value: object) -> str:
        """Return how to set an extra spec."""
        if not self.in_fleet and self.id:
            return command("openstack", "flavor", "set", "--property", f"{key}={value}", self.id)
        return self._edit_fleet(facts, f"set {key}: '{value}' in extra_specs")

    def unset_extra_spec(self, facts: Facts, *keys: str) -> str:
        """Return how to remove extra specs."""
        if not self.in_fleet and self.id:
            properties = [word for key in keys for word in ("--property", key)]
            return command("openstack", "flavor", "unset", *properties, self.id)
        return self._edit_fleet(facts, f"remove {', '.join(keys)} from extra_specs")

    def _edit_fleet(self, facts: Facts, change: str) -> str:
        if self.id:
            # The flavor of the fleet file replaces it.
            return facts.fixes.apply()
        return facts.fixes.edit_fleet(f"{change} of flavor {self.name}", facts.fixes.apply())

    def has_gpus(self, facts: Facts) -> bool:
        """Return whether the flavor requests any GPU of the fleet."""
        return any(alias.kind is DeviceKind.GPU for alias in self.fleet_devices(facts))


def checked_flavors(facts: Facts) -> Iterator[CheckedFlavor]:
    """Yield the fleet file's flavors, then those of the cloud that differ or are not in it."""
    fleet_flavors = {
        flavor.name: CheckedFlavor(
            flavor.name,
            flavor.vcpus,
            flavor.ram_mib,
            flavor.extra_specs,
            str(facts.resolved.file.path),
        )
        for flavor in facts.desired.flavors
    }
    yield from fleet_flavors.values()
    for cloud_flavor in facts.cloud.view.flavors if facts.cloud else ():
        flavor = CheckedFlavor(
            cloud_flavor.name,
            cloud_flavor.vcpus,
            cloud_flavor.ram_mib,
            cloud_flavor.extra_specs,
            f"Nova, flavor {cloud_flavor.id}",
            cloud_flavor.id,
            cloud_flavor.name in fleet_flavors,
        )
        same_name = fleet_flavors.get(flavor.name)
        if same_name is None or _request(flavor) != _request(same_name):
            yield flavor


def _request(flavor: CheckedFlavor) -> tuple[int, int, dict[str, str]]:
    return flavor.vcpus, flavor.ram_mib, dict(flavor.extra_specs)
