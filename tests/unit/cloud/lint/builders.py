# SPDX-License-Identifier: Apache-2.0
"""A fleet of two hosts whose configuration is as the generator makes it, and faults to plant."""

import copy
import shutil

from nova_gpu_passthrough.cloud.lint.configuration import layout
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.files import documents
from nova_gpu_passthrough.fleet import desired_state, resolve
from nova_gpu_passthrough.fleet import store as fleets
from nova_gpu_passthrough.generate import render
from nova_gpu_passthrough.inventory import store
from tests.unit.generate.builders import hgx, l40s

#: Where the generator puts what, in the tree of a host.
SHARED = "etc/nova/nova.conf.d/90-gpu-passthrough-aliases.conf"
SCHEDULER = "etc/nova/nova.conf.d/91-gpu-passthrough-scheduler.conf"
COMPUTE = "etc/nova/nova.conf.d/91-gpu-passthrough-compute.conf"
PLACEMENT = "etc/placement/placement.conf.d/90-gpu-passthrough.conf"


def resolved(root, inventories=None, settings=None, **keys):
    """A fleet of these inventories, by default one H100 and one L40S host."""
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
    """The fleet with its configuration on disk, as the generator makes it."""

    def __init__(self, root, **fleet_keys):
        self.resolved = resolved(root / "fleet", **fleet_keys)
        self.root = root / "config"
        self.desired, self.made = desired_state.make(self.resolved)
        self.cloud = None
        for file in render.generate_fleet(self.resolved, self.made, "a test").files:
            path = file.below(self.root)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text, encoding="utf-8")

    def copy(self, root):
        """The same with files of its own."""
        other = copy.copy(self)
        other.root = root / "config"
        shutil.copytree(self.root, other.root)
        return other

    def path(self, host, name):
        """A file of a host."""
        return self.root / host / name

    def replace(self, host, name, old, new, count=1):
        """Plant a fault: other text in a file."""
        path = self.path(host, name)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, count))

    def add(self, host, text, name="etc/nova/nova.conf.d/99-local.conf"):
        """Plant a fault: a file that is read last."""
        path = self.path(host, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def facts(self):
        """What there is to look at now."""
        services = layout.find(self.root, set(self.resolved.inventories))
        return Facts(self.resolved, self.desired, self.made, services, self.cloud)
