# SPDX-License-Identifier: Apache-2.0
"""Random boots, deletions, resizes and migrations never allocate a device to two servers."""

from __future__ import annotations

import random

import pytest

from tests.embedded.cloud import CloudError, Server
from tests.embedded.fleet import hgx_host
from tests.functional.base import GpuCloudTest

STEPS = 25

#: In seconds; a step took up to 8 s with Nova 34 on a busy machine.
pytestmark = pytest.mark.timeout(900)


class Churn(GpuCloudTest):
    hosts = (hgx_host("hgx1"), hgx_host("hgx2"), hgx_host("hgx3"))
    options = {"config": {(None, "allow_resize_to_same_host"): True}}
    tolerate_moves = True

    def setUp(self) -> None:
        super().setUp()
        self.random = random.Random(20260416)
        self.servers: list[Server] = []
        self.flavors = {
            count: self.cloud.create_flavor(
                f"h100-{count}",
                vcpus=2,
                ram_mib=1024,
                gpus={"h100": count},
                extra_specs={"hw:numa_nodes": "2" if count == 8 else "1"} if count > 1 else None,
            )
            for count in (1, 2, 4, 8)
        }
        self.action_counts: dict[str, int] = {}

    def size(self) -> int:
        return self.random.choice((1, 1, 2, 2, 4, 8))

    def boot(self) -> None:
        size = self.size()
        count = self.random.choice((1, 1, 1, 2))
        # Nova leaves devices of moved servers allocated in Placement.
        stuck = {(host, address) for host, address, _ in self.cloud._in_placement({})}
        free = {
            (host, gpu.address) for host in self.cloud.hosts for gpu in self.cloud.free_gpus(host)
        } - stuck
        try:
            servers = self.cloud.boot(self.flavors[size], count=count)
        except CloudError as error:
            # Nova boots all servers of a request or none.
            self.assertIn("No valid host", str(error))
            failed = self.cloud.nova.api.get_servers(search_opts={"status": "ERROR"})
            self.cloud.delete(*failed)
            # A server with one GPU fits wherever a GPU is free.
            if size == 1:
                self.assertLess(len(free), count)
        else:
            self.servers += servers

    def delete(self) -> None:
        server = self.servers.pop(self.random.randrange(len(self.servers)))
        self.cloud.delete(server)

    def move(self, resize: bool) -> None:
        server = self.random.choice(self.servers)
        try:
            if resize:
                self.cloud.resize(server, self.flavors[self.size()])
            else:
                self.cloud.migrate(server)
        except Exception as error:
            # No valid host, or a resize to the same flavor: the server is unchanged.
            self.assertRegex(str(error), "No ?[Vv]alid ?[Hh]ost|must change flavor")
            self.cloud.wait_status(server, "ACTIVE")
            return
        if self.random.random() < 0.5:
            self.cloud.confirm_resize(server)
        else:
            self.cloud.revert_resize(server)

    def test_no_device_has_two_owners(self) -> None:
        for _ in range(STEPS):
            actions = {"boot": self.boot}
            if self.servers:
                actions["delete"] = self.delete
                actions["resize"] = lambda: self.move(resize=True)
                actions["migrate"] = lambda: self.move(resize=False)
            # More boots than deletions, so that the cloud becomes full.
            name = self.random.choice([*actions, "boot"])
            actions[name]()
            self.action_counts[name] = self.action_counts.get(name, 0) + 1
            self.cloud.run_periodic_tasks()
            self.cloud.check_consistency(tolerate_moves=True)
        self.assertEqual({"boot", "delete", "resize", "migrate"}, set(self.action_counts))
        self.cloud.delete(*self.servers)
        self.assertEqual([], self.cloud.held_devices())
