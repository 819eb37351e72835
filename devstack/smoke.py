# SPDX-License-Identifier: Apache-2.0
"""The smoke test of a DevStack with GPUs: a tenant boots a server with each kind of GPU flavor.

``python smoke.py [CONFIGURATION] [--flavor NAME] [--networks auto|none]``. The plug-in writes the
configuration in its phase test-config. For each server the test checks that it is ACTIVE, that its
domain has the devices that Placement allocated, that the domain's memory is bound to NUMA nodes if
the flavor requests NUMA nodes, that the devices are on these nodes, and that nothing is left of the
server after its deletion.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
import unittest
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import openstack
import yaml

from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.fleet import resolve as resolving
from nova_gpu_passthrough.fleet import store as fleets
from nova_gpu_passthrough.fleet.flavors.specs import NUMA_NODES
from nova_gpu_passthrough.fleet.resolve import ResolvedFleet
from nova_gpu_passthrough.nova_rules import alias_string
from nova_gpu_passthrough.nova_rules.alias_string import EXTRA_SPEC

CONFIGURATION = Path("/opt/stack/data/nova_gpu_passthrough/smoke.yaml")
#: Timeout in seconds for a server to become ACTIVE, and to be deleted.
TIMEOUT = 300
#: Timeout in seconds for the allocations of a deleted server.
_ALLOCATIONS_TIMEOUT = 60
_PROVIDER = re.compile(r"_([0-9A-Fa-f]{4}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7])$")


@dataclass(frozen=True)
class Settings:
    """The configuration that the plug-in writes, and the command's options."""

    #: Names of clouds in clouds.yaml.
    admin: str
    tenant: str
    region: str
    fleet: Path
    #: ``virsh``, or the directory in which stand-ins of hosts store their domains.
    domains: str
    #: Hosts whose domains can be read from this machine.
    hosts: tuple[str, ...]
    #: Name of the image; None: any image.
    image: str | None = None
    #: Names of flavors; empty: for each alias those with the fewest and with the most GPUs.
    flavors: tuple[str, ...] = ()
    #: Networks of a server; ``auto`` needs a network and its agents on the compute.
    networks: str = "none"


def domain_devices(domain: str) -> set[str]:
    """Return the host addresses of a domain's PCI functions, from its XML."""
    addresses = set()
    for source in ElementTree.fromstring(domain).iterfind("./devices/hostdev[@type='pci']/source"):
        address = source.find("address")
        if address is not None:
            domain_, bus, slot, function = (
                int(address.get(name, "0"), 16) for name in ("domain", "bus", "slot", "function")
            )
            addresses.add(f"{domain_:04x}:{bus:02x}:{slot:02x}.{function:x}")
    return addresses


def domain_nodes(domain: str) -> set[int]:
    """Return the host's NUMA nodes of a domain's memory; empty if it may be on any node."""
    tune = ElementTree.fromstring(domain).find("numatune")
    if tune is None:
        return set()
    sets = [one.get("nodeset", "") for one in (*tune.iterfind("memnode"), *tune.iterfind("memory"))]
    return {node for text in sets for node in cpu_list.parse(text)}


def provider_addresses(names: Iterable[str]) -> set[str]:
    """Return the PCI addresses in names of resource providers, such as host_0000:18:00.0."""
    return {match[1].lower() for name in names if (match := _PROVIDER.search(name))}


def smallest_and_largest(flavors: Iterable[Any]) -> list[Any]:
    """Return for each alias the flavors with the fewest and with the most GPUs."""
    by_alias: dict[str, list[Any]] = {}
    for flavor in flavors:
        if requests := alias_string.read(flavor.extra_specs):
            names = sorted({request.name for request in requests})
            by_alias.setdefault(",".join(names), []).append(flavor)
    result = []
    for group in by_alias.values():
        group.sort(key=lambda flavor: (_device_count(flavor), flavor.ram))
        result += [group[0], *([group[-1]] if len(group) > 1 else [])]
    return result


def _device_count(flavor: Any) -> int:
    return sum(request.devices for request in alias_string.read(flavor.extra_specs))


class GpuServers(unittest.TestCase):
    """GPU servers of a tenant."""

    settings: ClassVar[Settings]
    fleet: ClassVar[ResolvedFleet]
    admin: ClassVar[Any]
    tenant: ClassVar[Any]

    @classmethod
    def setUpClass(cls) -> None:
        settings = cls.settings
        cls.fleet = resolving.resolve(fleets.load(settings.fleet))
        cls.admin = openstack.connect(cloud=settings.admin, region_name=settings.region)
        cls.tenant = openstack.connect(cloud=settings.tenant, region_name=settings.region)
        cls.addClassCleanup(cls.admin.close)
        cls.addClassCleanup(cls.tenant.close)

    def test_a_tenant_boots_gpu_servers(self) -> None:
        flavors = list(self.tenant.compute.flavors(get_extra_specs=True))
        if names := self.settings.flavors:
            flavors = [flavor for flavor in flavors if flavor.name in names]
        else:
            flavors = smallest_and_largest(flavors)
        self.assertTrue(flavors, "the tenant sees no GPU flavor")
        for flavor in flavors:
            with self.subTest(flavor=flavor.name):
                self._boot(flavor)

    def test_a_tenant_gets_no_more_gpus_than_there_are(self) -> None:
        flavors = list(self.tenant.compute.flavors(get_extra_specs=True))
        if not smallest_and_largest(flavors):
            self.skipTest("the tenant sees no GPU flavor")
        name, count = f"smoke-{uuid.uuid4().hex[:8]}", len(self._gpus()) + 1
        flavor = self.admin.compute.create_flavor(name=name, vcpus=1, ram=512, disk=1)
        self.addCleanup(self.admin.compute.delete_flavor, flavor)
        alias = alias_string.read(smallest_and_largest(flavors)[0].extra_specs)[0].name
        self.admin.compute.create_flavor_extra_specs(
            flavor, {EXTRA_SPEC: alias_string.to_text([(alias, count)])}
        )
        try:
            server = self._server(flavor)
        except openstack.exceptions.ForbiddenException as refusal:
            # Unified limits count GPUs, and nova-api checks them first.
            self.assertIn("over a limit", str(refusal))
            return
        self.assertEqual("ERROR", server.status)
        self.assertIn("No valid host", server.fault["message"])

    def _gpus(self) -> list[str]:
        return [gpu.address for offer in self.fleet.offers for gpu in offer.inventory.gpus]

    def _boot(self, flavor: Any) -> None:
        server = self._server(flavor)
        try:
            host = self._check(server, flavor)
        finally:
            # The next server needs its GPUs.
            self._delete(server)
        # Nova deletes the allocations after the server has disappeared from its API.
        end = time.monotonic() + _ALLOCATIONS_TIMEOUT
        while self._providers(server.id) and time.monotonic() < end:
            time.sleep(1)
        self.assertEqual([], self._providers(server.id), "allocations of a deleted server")
        if host in self.settings.hosts:
            self.assertEqual("", self._domain(server.id, host), "the domain of a deleted server")

    def _check(self, server: Any, flavor: Any) -> str:
        """Check the devices and NUMA nodes of a server; return its host."""
        self.assertEqual("ACTIVE", server.status, server.fault)
        host = str(self.admin.compute.get_server(server).compute_host)
        allocated = provider_addresses(self._providers(server.id))
        self.assertEqual(_device_count(flavor), len(allocated))
        if host not in self.settings.hosts:
            print(
                f"{flavor.name}: {host}, {', '.join(sorted(allocated))}; its domain cannot be read "
                "from this machine"
            )
            return host
        domain = self._domain(server.id, host)
        self.assertEqual(
            allocated, domain_devices(domain), "devices of Placement and of the domain"
        )
        inventory = self.fleet.inventories[host]
        gpu_nodes = {inventory.by_address[address].numa_node for address in allocated} - {None}
        nodes = domain_nodes(domain)
        if (requested := flavor.extra_specs.get(NUMA_NODES)) and not nodes:
            self.fail(
                f"{flavor.name} requests {NUMA_NODES}={requested}, but the domain of its server on "
                f"{host} has no <numatune> that binds its memory to NUMA nodes of the host"
            )
        if gpu_nodes and nodes:
            self.assertLessEqual(gpu_nodes, nodes, "NUMA nodes of the GPUs and of the domain")
        print(f"{flavor.name}: {host}, {', '.join(sorted(allocated))}, NUMA {sorted(nodes)}")
        return host

    def _server(self, flavor: Any) -> Any:
        """Create a server of the tenant and wait until it is ACTIVE or in ERROR."""
        images = list(self.tenant.image.images(name=self.settings.image or None))
        self.assertTrue(images, f"there is no image {self.settings.image or ''}")
        server = self.tenant.compute.create_server(
            name=f"smoke-{uuid.uuid4().hex[:8]}",
            flavor_id=flavor.id,
            image_id=images[0].id,
            networks=self.settings.networks,
        )
        self.addCleanup(self._delete, server)
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            server = self.tenant.compute.get_server(server)
            if server.status in ("ACTIVE", "ERROR"):
                return server
            time.sleep(1)
        self.fail(f"server {server.id} is {server.status} after {TIMEOUT} s")

    def _delete(self, server: Any) -> None:
        self.tenant.compute.delete_server(server, ignore_missing=True)
        self.tenant.compute.wait_for_delete(server, interval=1, wait=TIMEOUT)

    def _providers(self, server: str) -> list[str]:
        """Return the names of the resource providers in a server's allocations."""
        allocations = self.admin.placement.get(f"/allocations/{server}").json()["allocations"]
        return [
            self.admin.placement.get(f"/resource_providers/{provider}").json()["name"]
            for provider in allocations
        ]

    def _domain(self, server: str, host: str) -> str:
        """Return the XML of a server's domain; an empty text if there is none."""
        if self.settings.domains == "virsh":
            command = ["sudo", "virsh", "--connect", "qemu:///system", "dumpxml", server]
            return subprocess.run(command, capture_output=True, text=True, check=False).stdout
        file = Path(self.settings.domains) / host / "domains.json"
        domains = [xml for xml, running in json.loads(file.read_text()) if running]
        return next((xml for xml in domains if f"<uuid>{server}</uuid>" in xml), "")


def load(path: Path, options: argparse.Namespace) -> Settings:
    """Read the configuration."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["fleet"] = Path(document["fleet"])
    document["hosts"] = tuple(document["hosts"])
    return Settings(**document, flavors=tuple(options.flavor), networks=options.networks)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the test."""
    parser = argparse.ArgumentParser(prog="smoke.py", description=__doc__)
    parser.add_argument("configuration", type=Path, nargs="?", default=CONFIGURATION)
    parser.add_argument("--flavor", metavar="NAME", action="append", default=[])
    parser.add_argument("--networks", choices=("auto", "none"), default="none")
    options = parser.parse_args(arguments)
    if not options.configuration.exists():
        print(
            f"{options.configuration} does not exist; stack.sh with the plug-in writes it, and its "
            "path is the first argument",
            file=sys.stderr,
        )
        return 2
    GpuServers.settings = load(options.configuration, options)
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(GpuServers)
    return 0 if unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
