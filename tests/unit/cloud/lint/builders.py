# SPDX-License-Identifier: Apache-2.0
"""A fleet of two hosts with generated configuration, and faults to plant in it."""

import copy
import shutil

from nova_gpu_passthrough.cloud.lint.configuration import host_directories
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.files import documents
from nova_gpu_passthrough.fleet import derive_state, resolve
from nova_gpu_passthrough.fleet import store as fleets
from nova_gpu_passthrough.generate import render
from nova_gpu_passthrough.inventory import store
from tests.unit.generate.builders import hgx, l40s

#: Generated files, relative to the directory of a host.
SHARED = "etc/nova/nova.conf.d/90-gpu-passthrough-aliases.conf"
SCHEDULER = "etc/nova/nova.conf.d/91-gpu-passthrough-scheduler.conf"
COMPUTE = "etc/nova/nova.conf.d/91-gpu-passthrough-compute.conf"
PLACEMENT = "etc/placement/placement.conf.d/90-gpu-passthrough.conf"

#: Quotas of a fleet file with defaults for all that flavors use.
AMOUNTS = {"servers": 10, "vcpus": 100, "ram_mib": 100000, "disk_gib": 1000}
QUOTAS = {"default": {**AMOUNTS, "h100-sxm": 2}}


def resolved(root, inventories=None, settings=None, **keys):
    """Return a fleet of the inventories, by default one H100 and one L40S host."""
    root.mkdir(parents=True, exist_ok=True)
    for inventory in inventories or (hgx("hgx1"), l40s("l40s1")):
        path = root / f"{inventory.host}.yaml"
        path.write_text(store.dump(inventory, "a test"), encoding="utf-8")
    document = {
        "schema": "nova-gpu-passthrough/fleet",
        "version": 1,
        "name": "test",
        "groups": [{"name": "all", "inventories": ["*1.yaml"]}],
        "settings": settings or {},
        **keys,
    }
    path = root / "fleet"
    path.write_text(documents.dump(document), encoding="utf-8")
    return resolve.resolve(fleets.load(path))


class Site:
    """A fleet with its generated configuration on disk."""

    def __init__(self, root, **fleet_keys):
        self.resolved = resolved(root / "fleet", **fleet_keys)
        self.root = root / "config"
        self.desired, self.flavor_plan = derive_state.make(self.resolved)
        self.cloud = None
        for file in render.generate_fleet(self.resolved, self.flavor_plan, "a test").files:
            path = file.below(self.root)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text, encoding="utf-8")

    def copy(self, root):
        """Return a copy with its own files."""
        other = copy.copy(self)
        other.root = root / "config"
        shutil.copytree(self.root, other.root)
        return other

    def path(self, host, name):
        """Return the path of a file of a host."""
        return self.root / host / name

    def replace(self, host, name, old, new, count=1):
        """Plant a fault: replace text in a file."""
        path = self.path(host, name)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, count))

    def add(self, host, text, name="etc/nova/nova.conf.d/99-local.conf"):
        """Plant a fault: add a file that is read last."""
        path = self.path(host, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def facts(self):
        """Return the facts with the configuration that is on disk now."""
        services = host_directories.find(self.root, set(self.resolved.inventories))
        return Facts(self.resolved, self.desired, self.flavor_plan, services, self.cloud)
