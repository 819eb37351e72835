# SPDX-License-Identifier: Apache-2.0
"""What the checks look at."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from nova_gpu_passthrough.cloud.apply.change import Plan
from nova_gpu_passthrough.cloud.lint.configuration.services import Role, Service, of
from nova_gpu_passthrough.cloud.view.model import CloudView
from nova_gpu_passthrough.fleet import aliases, device_spec
from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.fleet.desired import Desired
from nova_gpu_passthrough.fleet.flavors import FlavorPlan, capacity, layout
from nova_gpu_passthrough.fleet.flavors.feasibility import Host
from nova_gpu_passthrough.fleet.offers import Offer, Offered
from nova_gpu_passthrough.fleet.resolve import Resolved
from nova_gpu_passthrough.generate import compute_options
from nova_gpu_passthrough.generate.options import Option
from nova_gpu_passthrough.inventory.pci import DeviceType
from nova_gpu_passthrough.nova_rules import names


@dataclass(frozen=True)
class Cloud:
    """What was read from the cloud."""

    view: CloudView
    #: What ``nova-gpu apply`` would do.
    plan: Plan
    #: All traits that Placement knows.
    traits: frozenset[str]
    #: Keystone's registered limits of Nova, by resource; None with Nova's own quotas.
    registered_limits: Mapping[str, int] | None = None
    #: What speaks against the fleet file's quota driver being at work; None: nothing.
    driver_note: str | None = None


class Make(NamedTuple):
    """What aliases tell devices apart by."""

    vendor_id: str
    product_id: str
    device_type: DeviceType
    resource_class: str
    traits: frozenset[str]


@dataclass(frozen=True)
class Facts:
    """The fleet, and what is to be compared with it."""

    resolved: Resolved
    desired: Desired
    #: How the fleet file's flavors came about.
    made: FlavorPlan
    services: tuple[Service, ...] = ()
    #: None: nothing but files is looked at.
    cloud: Cloud | None = None

    @functools.cached_property
    def offers(self) -> Mapping[str, Offer]:
        """What servers can get, by host."""
        return {offer.host: offer for offer in self.resolved.offers}

    @functools.cached_property
    def aliases(self) -> Mapping[str, Alias]:
        """The fleet's aliases by name."""
        return {alias.name: alias for alias in self.resolved.aliases.values()}

    @functools.cached_property
    def entries(self) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
        """The device_spec entries that the fleet file makes, by host and address."""
        return {
            offer.host: {
                entry["address"]: entry
                for entry in device_spec.make(offer, self.resolved.aliases, self.resolved.settings)
            }
            for offer in self.resolved.offers
        }

    @functools.cached_property
    def makes(self) -> Mapping[Make, list[str]]:
        """The devices for servers by what they are: ``host address``."""
        found: dict[Make, list[str]] = {}
        for offer in self.resolved.offers:
            for offered in offer.devices:
                device, entry = offered.device, self.entries[offer.host][offered.address]
                make = Make(
                    device.vendor_id,
                    device.product_id,
                    device.device_type,
                    self.alias_of(offered).resource_class,
                    names.traits(entry.get("traits")),
                )
                found.setdefault(make, []).append(f"{offer.host} {offered.address}")
        return found

    @functools.cached_property
    def compute_options(self) -> Mapping[str, Mapping[tuple[str, str], Option]]:
        """The options of nova-compute that the fleet file makes, by host, section and name."""
        made = {}
        for offer in self.resolved.offers:
            sections, _ = compute_options.make(offer, self.resolved.aliases, self.resolved.settings)
            made[offer.host] = {
                (section.name, option.name): option
                for section in sections
                for option in section.options
            }
        return made

    @functools.cached_property
    def empty_hosts(self) -> tuple[Host, ...]:
        """The fleet's hosts as they are without servers."""
        known, settings = self.resolved.aliases, self.resolved.settings
        layouts = [layout.of(offer, known, settings) for offer in self.resolved.offers]
        return tuple(Host(one, capacity.of(one, known, settings)) for one in layouts)

    def alias_of(self, offered: Offered) -> Alias:
        """The alias that stands for a function."""
        return self.resolved.aliases[aliases.key_of(offered)]

    def role(self, *roles: Role) -> tuple[Service, ...]:
        """The services that are one of these."""
        return of(self.services, *roles)

    @property
    def nova(self) -> Iterator[Service]:
        """Nova's services."""
        return (service for service in self.services if service.nova)

    @property
    def computes(self) -> Iterator[tuple[Service, Offer]]:
        """nova-compute of the fleet's hosts, as far as its configuration is known."""
        for service in self.role(Role.COMPUTE):
            if service.host in self.offers:
                yield service, self.offers[service.host]


GENERATE = (
    "Write it with nova-gpu config generate --fleet FILE --write DIR, copy it into place and "
    "restart {service}."
)
APPLY = "nova-gpu apply --fleet FILE"
AUDIT = (
    "If the host has changed, audit it anew (nova-gpu host audit --write) and put the inventory in "
    "the old one's place."
)


def generate(service: str) -> str:
    """Configuration of a service, ``nova-compute@gpu1`` or ``nova-compute``."""
    return GENERATE.format(service=service.partition("@")[0])
