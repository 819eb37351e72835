# SPDX-License-Identifier: Apache-2.0
"""Flavors that the checks look at: the fleet file's and the cloud's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet import references
from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.fleet.offers import Kind


@dataclass(frozen=True)
class Asked:
    """A flavor, wherever it is."""

    name: str
    vcpus: int
    ram_mib: int
    extra_specs: Mapping[str, str]
    #: Where it is written.
    where: str

    @property
    def subject(self) -> str:
        """What findings call it."""
        return f"flavor {self.name}"

    @property
    def devices(self) -> Mapping[str, int]:
        """How many devices of which alias it asks for; none if that makes no sense."""
        try:
            return references.parse_aliases(self.extra_specs.get(references.PCI_ALIAS, ""))
        except ValueError:
            return {}

    def known(self, facts: Facts) -> Mapping[Alias, int]:
        """How many devices of the fleet's aliases it asks for."""
        return {
            facts.aliases[name]: number
            for name, number in self.devices.items()
            if name in facts.aliases
        }

    def has_gpus(self, facts: Facts) -> bool:
        """Whether it asks for any of the fleet's GPUs."""
        return any(alias.kind is Kind.GPU for alias in self.known(facts))


def flavors(facts: Facts) -> Iterator[Asked]:
    """The fleet file's flavors, and those of the cloud that differ from them or are others."""
    said = {}
    for flavor in facts.desired.flavors:
        said[flavor.name] = Asked(
            flavor.name,
            flavor.vcpus,
            flavor.ram_mib,
            flavor.extra_specs,
            str(facts.resolved.file.path),
        )
    yield from said.values()
    for found in facts.cloud.view.flavors if facts.cloud else ():
        other = said.get(found.name)
        alike = other is not None and (other.vcpus, other.ram_mib, dict(other.extra_specs)) == (
            found.vcpus,
            found.ram_mib,
            dict(found.extra_specs),
        )
        if not alike:
            yield Asked(
                found.name,
                found.vcpus,
                found.ram_mib,
                found.extra_specs,
                f"Nova, flavor {found.id}",
            )
