# SPDX-License-Identifier: Apache-2.0
"""The facts that the checks compare."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nova_gpu_passthrough.cloud.lint.cloud_facts import CloudFacts
from nova_gpu_passthrough.cloud.lint.configuration.services import (
    ConfiguredService,
    ServiceRole,
    with_roles,
)
from nova_gpu_passthrough.cloud.lint.fixes import Fixes
from nova_gpu_passthrough.fleet import aliases, device_spec
from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.fleet.desired_state import DesiredState
from nova_gpu_passthrough.fleet.flavors import FlavorPlan, empty_host
from nova_gpu_passthrough.fleet.flavors.empty_host import EmptyHost
from nova_gpu_passthrough.fleet.offers import HostOffer, OfferedDevice
from nova_gpu_passthrough.fleet.resolve import ResolvedFleet
from nova_gpu_passthrough.generate import compute_options
from nova_gpu_passthrough.generate.service_options import Option
from nova_gpu_passthrough.inventory.pci import DeviceType
from nova_gpu_passthrough.nova_rules import resource_names


class DeviceAttributes(NamedTuple):
    """The attributes by which aliases select devices."""

    vendor_id: str
    product_id: str
    device_type: DeviceType
    resource_class: str
    traits: frozenset[str]


@dataclass(frozen=True)
class Facts:
    """The fleet, and the configuration and cloud that are compared with it."""

    resolved: ResolvedFleet
    desired: DesiredState
    #: How the flavors were derived from the fleet file.
    flavor_plan: FlavorPlan
    services: tuple[ConfiguredService, ...] = ()
    #: None if only files are compared.
    cloud: CloudFacts | None = None
    #: The record that apply wrote, if it is not beside the fleet file.
    record_path: Path | None = None

    @functools.cached_property
    def fixes(self) -> Fixes:
        """The scripts that fix findings."""
        settings, inventories = self.resolved.settings, self.resolved.inventories
        return Fixes(
            self.resolved.file.path,
            settings.target,
            {
                host: settings.distribution or inventory.machine.distribution
                for host, inventory in inventories.items()
            },
            self.resolved.paths,
            self.record_path,
        )

    @functools.cached_property
    def offers(self) -> Mapping[str, HostOffer]:
        """The devices that each host offers to servers, by host."""
        return {offer.host: offer for offer in self.resolved.offers}

    @functools.cached_property
    def aliases(self) -> Mapping[str, Alias]:
        """The fleet's aliases by name."""
        return {alias.name: alias for alias in self.resolved.aliases.values()}

    @functools.cached_property
    def device_spec_entries(self) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
        """The device_spec entries generated from the fleet file, by host and address."""
        return {
            offer.host: {
                entry["address"]: entry
                for entry in device_spec.make(offer, self.resolved.aliases, self.resolved.settings)
            }
            for offer in self.resolved.offers
        }

    @functools.cached_property
    def devices_by_attributes(self) -> Mapping[DeviceAttributes, list[str]]:
        """The devices for servers, as ``host address``, by their attributes."""
        devices: dict[DeviceAttributes, list[str]] = {}
        for offer in self.resolved.offers:
            for offered in offer.devices:
                device = offered.device
                entry = self.device_spec_entries[offer.host][offered.address]
                attributes = DeviceAttributes(
                    device.vendor_id,
                    device.product_id,
                    device.device_type,
                    self.alias_of(offered).resource_class,
                    resource_names.normalize_traits(entry.get("traits")),
                )
                devices.setdefault(attributes, []).append(f"{offer.host} {offered.address}")
        return devices

    @functools.cached_property
    def compute_options(self) -> Mapping[str, Mapping[tuple[str, str], Option]]:
        """The options of nova-compute from the fleet file, by host, then by section and name."""
        options = {}
        for offer in self.resolved.offers:
            sections, _ = compute_options.make(offer, self.resolved.aliases, self.resolved.settings)
            options[offer.host] = {
                (section.name, option.name): option
                for section in sections
                for option in section.options
            }
        return options

    @functools.cached_property
    def empty_hosts(self) -> tuple[EmptyHost, ...]:
        """The fleet's hosts without servers."""
        fleet_aliases, settings = self.resolved.aliases, self.resolved.settings
        return tuple(
            empty_host.make(offer, fleet_aliases, settings) for offer in self.resolved.offers
        )

    def alias_of(self, offered: OfferedDevice) -> Alias:
        """Return the alias of a PCI function."""
        return self.resolved.aliases[aliases.alias_key(offered)]

    def services_with(self, *roles: ServiceRole) -> tuple[ConfiguredService, ...]:
        """Return the services that have at least one of the roles."""
        return with_roles(self.services, *roles)

    @property
    def nova_services(self) -> Iterator[ConfiguredService]:
        """The services of Nova."""
        return (service for service in self.services if service.is_nova)

    @property
    def compute_services(self) -> Iterator[tuple[ConfiguredService, HostOffer]]:
        """nova-compute of every fleet host whose configuration is known, with the host's offer."""
        for service in self.services_with(ServiceRole.COMPUTE):
            if service.host in self.offers:
                yield service, self.offers[service.host]
