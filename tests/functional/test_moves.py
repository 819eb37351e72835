# SPDX-License-Identifier: Apache-2.0
"""Servers that are moved, resized, rebuilt and unshelved get the right devices."""

from __future__ import annotations

from tests.embedded.cloud import Server
from tests.embedded.fleet import hgx_host
from tests.functional.base import GpuCloudTest


class Moves(GpuCloudTest):
    hosts = (hgx_host("hgx1"), hgx_host("hgx2"))
    options = {"config": {(None, "allow_resize_to_same_host"): True}}
    tolerate_moves = True

    def setUp(self) -> None:
        super().setUp()
        self.flavors = {
            count: self.cloud.create_flavor(
                f"h100-{count}",
                vcpus=2,
                ram_mib=1024,
                gpus={"h100": count},
                extra_specs={
                    "hw:numa_nodes": "2" if count == 8 else "1",
                    "hw:pci_numa_affinity_policy": "required",
                    "gpu:link": "required",
                },
            )
            for count in (1, 2, 4, 8)
        }

    def assert_well_placed(self, server: Server, count: int) -> None:
        """Assert that all devices are on one host, in one partition, on the guest's NUMA nodes."""
        # The compute node chooses devices for a resized server itself and reports them later.
        self.cloud.run_periodic_tasks()
        held = self.cloud.devices_of(server)
        self.assertEqual(count, len(held))
        self.assertEqual({self.cloud.host_of(server)}, {device.host for device in held})
        depth = {1: 3, 2: 3, 4: 2, 8: 1}[count]
        partitions = {tuple(d.device.link_group.split("/")[:depth]) for d in held}
        self.assertEqual(1, len(partitions))
        self.assertEqual(
            {device.device.numa_node for device in held},
            set(self.cloud.guest_numa_nodes(server)),
        )
        self.cloud.check_consistency(tolerate_moves=True)

    def test_resize_on_the_same_host_and_to_another(self) -> None:
        (server,) = self.cloud.boot(self.flavors[2], host="hgx1")
        filler = self.cloud.boot(self.flavors[8], host="hgx2")
        # While the move is not confirmed, the host holds the devices of both flavors.
        self.cloud.resize(server, self.flavors[4])
        self.assertEqual("hgx1", self.cloud.host_of(server))
        self.assertEqual(2, len(self.cloud.free_gpus("hgx1")))
        self.cloud.confirm_resize(server)
        self.assert_well_placed(server, 4)

        self.cloud.delete(*filler)
        self.cloud.resize(server, self.flavors[8])
        self.assertEqual("hgx2", self.cloud.host_of(server))
        self.cloud.revert_resize(server)
        self.assert_well_placed(server, 4)

        self.cloud.resize(server, self.flavors[1])
        self.cloud.confirm_resize(server)
        self.assert_well_placed(server, 1)

    def test_cold_migration(self) -> None:
        (server,) = self.cloud.boot(self.flavors[4])
        source = self.cloud.host_of(server)
        self.cloud.migrate(server)
        self.cloud.confirm_resize(server)
        self.assertNotEqual(source, self.cloud.host_of(server))
        self.assert_well_placed(server, 4)

    def test_shelving(self) -> None:
        (server,) = self.cloud.boot(self.flavors[2])
        self.cloud.shelve(server)
        self.cloud.shelve_offload(server)
        self.assertEqual([], self.cloud.devices_of(server))
        self.cloud.unshelve(server)
        self.assert_well_placed(server, 2)

    def test_rebuild_keeps_the_devices(self) -> None:
        (server,) = self.cloud.boot(self.flavors[8])
        before = self.cloud.devices_of(server)
        # No GPU of its host is free, which does not matter for a rebuild.
        self.cloud.rebuild(server, image=self.cloud.create_image(description="another"))
        self.assertEqual(before, self.cloud.devices_of(server))

    def test_evacuation(self) -> None:
        (server,) = self.cloud.boot(self.flavors[4], host="hgx1")
        self.cloud.boot(self.flavors[2], host="hgx2")
        self.cloud.fail_host("hgx1")
        self.cloud.evacuate(server)
        self.assertEqual("hgx2", self.cloud.host_of(server))
        self.cloud.recover_host("hgx1")
        self.assert_well_placed(server, 4)
