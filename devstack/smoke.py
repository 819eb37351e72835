# SPDX-License-Identifier: Apache-2.0
"""The smoke test of a DevStack with GPUs: a tenant boots a server with each kind of GPU flavor.

``python smoke.py [CONFIGURATION] [--flavor NAME] [--networks auto|none]``. The plug-in writes the
configuration in its phase test-config. Of each server is checked that it is ACTIVE, that the
devices of its domain are those that Placement allocated, that they are on the domain's NUMA nodes,
and that nothing is left of it afterwards.
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
from nova_gpu_passthrough.fleet.resolve import Resolved

CONFIGURATION = Path("/opt/stack/data/nova_gpu_passthrough/smoke.yaml")
#: Seconds for a server to become ACTIVE, and to be gone.
PATIENCE = 300
#: Seconds for what a server that is gone still holds.
_AFTERWARDS = 60
_ALIAS = "pci_passthrough:alias"
_PROVIDER = re.compile(r"_([0-9A-Fa-f]{4}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7])$")


@dataclass(frozen=True)
class Settings:
    """What the plug-in knows of the DevStack."""

    #: Names in clouds.yaml.
    admin: str
    tenant: str
    region: str
    fleet: Path
    #: ``virsh``, or the directory in which the stand-ins of hosts keep their domains.
    domains: str
    #: Those whose domains can be looked at from this machine.
    hosts: tuple[str, ...]
    #: Name; None: any.
    image: str | None = None
    #: Names; empty: those with the fewest and with the most GPUs of each alias.
    flavors: tuple[str, ...] = ()
    #: Of a server; ``auto`` needs a network and its agents on the compute.
    networks: str = "none"


def devices(domain: str) -> set[str]:
    """Addresses of the PCI functions that a domain has, from its XML."""
    found = set()
    for source in ElementTree.fromstring(domain).iterfind("./devices/hostdev[@type='pci']/source"):
        address = source.find("address")
        if address is not None:
            domain_, bus, slot, function = (
                int(address.get(name, "0"), 16) for name in ("domain", "bus", "slot", "function")
            )
            found.add(f"{domain_:04x}:{bus:02x}:{slot:02x}.{function:x}")
    return found


def nodes(domain: str) -> set[int]:
    """The host's NUMA nodes that a domain's memory is on; empty if it may be on all."""
    tune = ElementTree.fromstring(domain).find("numatune")
    if tune is None:
        return set()
    sets = [one.get("nodeset", "") for one in (*tune.iterfind("memnode"), *tune.iterfind("memory"))]
    return {node for text in sets for node in cpu_list.parse(text)}


def allocated(providers: Iterable[str]) -> set[str]:
    """Addresses of PCI functions among names of resource providers, such as host_0000:18:00.0."""
    return {found[1].lower() for name in providers if (found := _PROVIDER.search(name))}


def asked(alias: str) -> dict[str, int]:
    """How many of what an extra spec such as ``h100:2,l40s:1`` asks for."""
    counts = (part.strip().rpartition(":") for part in alias.split(","))
    return {name: int(count) for name, _, count in counts}


def chosen(flavors: Iterable[Any]) -> list[Any]:
    """Of the flavors of each alias, the one with the fewest GPUs and the one with the most."""
    found: dict[str, list[Any]] = {}
    for flavor in flavors:
        if alias := flavor.extra_specs.get(_ALIAS):
            found.setdefault(",".join(sorted(asked(alias))), []).append(flavor)
    result = []
    for alike in found.values():
        alike.sort(key=lambda flavor: (sum(asked(flavor.extra_specs[_ALIAS]).values()), flavor.ram))
        result += [alike[0], *([alike[-1]] if len(alike) > 1 else [])]
    return result


class GpuServers(unittest.TestCase):
    """Servers of a tenant."""

    settings: ClassVar[Settings]
    fleet: ClassVar[Resolved]
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
        if wanted := self.settings.flavors:
            flavors = [flavor for flavor in flavors if flavor.name in wanted]
        else:
            flavors = chosen(flavors)
        self.assertTrue(flavors, "the tenant sees no GPU flavor")
        for flavor in flavors:
            with self.subTest(flavor=flavor.name):
                self._boot(flavor)

    def test_a_tenant_gets_no_more_gpus_than_there_are(self) -> None:
        flavors = list(self.tenant.compute.flavors(get_extra_specs=True))
        if not chosen(flavors):
            self.skipTest("the tenant sees no GPU flavor")
        name, number = f"smoke-{uuid.uuid4().hex[:8]}", len(self._gpus()) + 1
        flavor = self.admin.compute.create_flavor(name=name, vcpus=1, ram=512, disk=1)
        self.addCleanup(self.admin.compute.delete_flavor, flavor)
        (alias, _) = next(iter(asked(chosen(flavors)[0].extra_specs[_ALIAS]).items()))
        self.admin.compute.create_flavor_extra_specs(flavor, {_ALIAS: f"{alias}:{number}"})
        try:
            server = self._server(flavor)
        except openstack.exceptions.ForbiddenException as refusal:
            # Unified limits count GPUs, and come first.
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
            # Its GPUs are the next one's.
            self._delete(server)
        # Nova gives the allocations back after the server is gone from its API.
        end = time.monotonic() + _AFTERWARDS
        while self._providers(server.id) and time.monotonic() < end:
            time.sleep(1)
        self.assertEqual([], self._providers(server.id), "allocations of a server that is gone")
        if host in self.settings.hosts:
            self.assertEqual(
                "", self._domain(server.id, host), "the domain of a server that is gone"
            )

    def _check(self, server: Any, flavor: Any) -> str:
        """Devices and NUMA nodes of a server; returns its host."""
        self.assertEqual("ACTIVE", server.status, server.fault)
        host = str(self.admin.compute.get_server(server).compute_host)
        held = allocated(self._providers(server.id))
        self.assertEqual(sum(asked(flavor.extra_specs[_ALIAS]).values()), len(held))
        if host not in self.settings.hosts:
            print(f"{flavor.name}: {host}, {', '.join(sorted(held))}; domain not seen from here")
            return host
        domain = self._domain(server.id, host)
        self.assertEqual(held, devices(domain), "devices of Placement and of the domain")
        inventory = self.fleet.inventories[host]
        where = {inventory.by_address[address].numa_node for address in held} - {None}
        if where and nodes(domain):
            self.assertLessEqual(where, nodes(domain), "NUMA nodes of the GPUs and of the domain")
        print(f"{flavor.name}: {host}, {', '.join(sorted(held))}, NUMA {sorted(nodes(domain))}")
        return host

    def _server(self, flavor: Any) -> Any:
        """A server of the tenant, ACTIVE or failed; it is deleted at the end."""
        images = list(self.tenant.image.images(name=self.settings.image or None))
        self.assertTrue(images, f"there is no image {self.settings.image or ''}")
        server = self.tenant.compute.create_server(
            name=f"smoke-{uuid.uuid4().hex[:8]}",
            flavor_id=flavor.id,
            image_id=images[0].id,
            networks=self.settings.networks,
        )
        self.addCleanup(self._delete, server)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = self.tenant.compute.get_server(server)
            if found.status in ("ACTIVE", "ERROR"):
                return found
            time.sleep(1)
        self.fail(f"server {server.id} is {found.status} after {PATIENCE} s")

    def _delete(self, server: Any) -> None:
        self.tenant.compute.delete_server(server, ignore_missing=True)
        self.tenant.compute.wait_for_delete(server, interval=1, wait=PATIENCE)

    def _providers(self, server: str) -> list[str]:
        """Names of the resource providers that a server has something of."""
        found = self.admin.placement.get(f"/allocations/{server}").json()["allocations"]
        return [
            self.admin.placement.get(f"/resource_providers/{one}").json()["name"] for one in found
        ]

    def _domain(self, server: str, host: str) -> str:
        """XML of a server's domain; an empty text if there is none."""
        if self.settings.domains == "virsh":
            command = ["sudo", "virsh", "--connect", "qemu:///system", "dumpxml", server]
            return subprocess.run(command, capture_output=True, text=True, check=False).stdout
        file = Path(self.settings.domains) / host / "domains.json"
        found = [xml for xml, running in json.loads(file.read_text()) if running]
        return next((xml for xml in found if f"<uuid>{server}</uuid>" in xml), "")


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
            f"{options.configuration} is not there; stack.sh with the plug-in writes it, and its "
            "path is the first argument",
            file=sys.stderr,
        )
        return 2
    GpuServers.settings = load(options.configuration, options)
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(GpuServers)
    return 0 if unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
