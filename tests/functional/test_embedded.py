# SPDX-License-Identifier: Apache-2.0
"""Tests of the embedded cloud, without this package's filter and weigher."""

from __future__ import annotations

from nova import objects

from tests.embedded.cloud import CloudError, EmbeddedCloud
from tests.embedded.fleet import GpuHost, cpu_host, hgx_host, pcie_host
from tests.functional.base import GpuCloudTest


class OneCloud(GpuCloudTest):
    hosts = (hgx_host("hgx1"), pcie_host("pcie1"), cpu_host("cpu1"))
    options = {"gpu_scheduler": False}

    def test_gpu_server_from_boot_to_deletion(self) -> None:
        flavor = self.cloud.create_flavor("h100-2", vcpus=8, ram_mib=65536, gpus={"h100": 2})
        (server,) = self.cloud.boot(flavor)
        self.assertEqual("hgx1", self.cloud.host_of(server))
        held = self.cloud.devices_of(server)
        self.assertEqual(["H100", "H100"], [device.device.model for device in held])
        self.assertEqual({"hgx1"}, {device.host for device in held})
        self.assertEqual([], self.cloud.guest_numa_nodes(server))
        devices = {f"hgx1_{device.address}": {"CUSTOM_PCI_10DE_2330": 1} for device in held}
        self.assertEqual(
            {"hgx1": {"VCPU": 8, "MEMORY_MB": 65536, "DISK_GB": 1}, **devices},
            self.cloud.placement_allocations(server),
        )
        self.assertEqual(6, len(self.cloud.free_gpus("hgx1")))
        self.cloud.check_consistency()

        self.cloud.delete(server)
        self.assertEqual(8, len(self.cloud.free_gpus("hgx1")))
        self.assertEqual({}, self.cloud.placement_allocations(server))
        self.assertEqual([], self.cloud.held_devices())

    def test_multi_create(self) -> None:
        flavor = self.cloud.create_flavor("h100-1", gpus={"h100": 1})
        servers = self.cloud.boot(flavor, count=3)
        self.assertEqual(3, len(servers))
        self.assertEqual(5, len(self.cloud.free_gpus("hgx1")))

    def test_two_aliases_and_a_guest_numa_node(self) -> None:
        flavor = self.cloud.create_flavor(
            "l40s-1", gpus={"l40s": 1, "gpu-audio": 1}, extra_specs={"hw:numa_nodes": "1"}
        )
        (server,) = self.cloud.boot(flavor)
        held = self.cloud.devices_of(server)
        self.assertEqual(["companion", "gpu"], sorted(device.device.role for device in held))
        (node,) = self.cloud.guest_numa_nodes(server)
        self.assertEqual({node}, {device.device.numa_node for device in held})

    def test_image_property(self) -> None:
        image = self.cloud.create_image(hw_numa_nodes="2")
        (server,) = self.cloud.boot(self.cloud.create_flavor("plain"), image=image)
        self.assertEqual([0, 1], self.cloud.guest_numa_nodes(server))

    def test_a_failure_contains_the_reason(self) -> None:
        flavor = self.cloud.create_flavor("l40s-5", gpus={"l40s": 5})
        with self.assertRaisesRegex(CloudError, "No valid host was found"):
            self.cloud.boot(flavor)
        (server,) = self.cloud.boot(flavor, expect="ERROR")
        self.assertEqual("ERROR", server["status"])

    def test_log(self) -> None:
        self.cloud.boot(self.cloud.create_flavor("plain"), name="the-server")
        self.assertTrue(self.cloud.log_lines(containing="Instance spawned successfully"))
        self.assertTrue(self.cloud.log_lines("DEBUG", logger="nova.filters"))
        self.assertEqual([], self.cloud.log_lines("ERROR"))


class Capacity(GpuCloudTest):
    hosts = (hgx_host("hgx1"),)
    options = {"gpu_scheduler": False}

    def test_eight_pinned_servers_fit_a_host(self) -> None:
        flavor = self.cloud.create_flavor(
            "pinned",
            vcpus=8,
            ram_mib=120 * 1024,
            gpus={"h100": 1},
            extra_specs={"hw:cpu_policy": "dedicated"},
        )
        servers = [self.cloud.boot(flavor)[0] for _ in range(8)]
        for server in servers:
            (device,) = self.cloud.devices_of(server)
            self.assertEqual([device.device.numa_node], self.cloud.guest_numa_nodes(server))
        # Not enough memory is left for a ninth server.
        (server,) = self.cloud.boot(
            self.cloud.create_flavor("plain", ram_mib=128 * 1024), expect="ERROR"
        )
        self.cloud.delete(server)


class Moves(GpuCloudTest):
    hosts = (hgx_host("hgx1", first_bus=0x20), hgx_host("hgx2", first_bus=0x20))
    options = {"gpu_scheduler": False}
    tolerate_moves = True

    def setUp(self) -> None:
        super().setUp()
        self.flavor = self.cloud.create_flavor("h100-1", gpus={"h100": 1})
        (self.server,) = self.cloud.boot(self.flavor, host="hgx1")

    def assert_devices(self, **devices: int) -> None:
        held = [device.host for device in self.cloud.devices_of(self.server)]
        self.assertEqual(devices, {host: held.count(host) for host in held})
        self.check_at_end()

    def test_migrate_and_confirm(self) -> None:
        self.cloud.migrate(self.server)
        self.assert_devices(hgx1=1, hgx2=1)
        self.cloud.confirm_resize(self.server)
        self.assertEqual("hgx2", self.cloud.host_of(self.server))
        self.assert_devices(hgx2=1)

    def test_resize_and_revert(self) -> None:
        self.cloud.resize(self.server, self.cloud.create_flavor("h100-2", gpus={"h100": 2}))
        self.assert_devices(hgx1=1, hgx2=2)
        self.cloud.revert_resize(self.server)
        self.assertEqual("hgx1", self.cloud.host_of(self.server))
        self.assert_devices(hgx1=1)

    def test_shelve(self) -> None:
        self.cloud.shelve(self.server)
        self.assert_devices(hgx1=1)
        self.cloud.shelve_offload(self.server)
        self.assert_devices()
        self.cloud.unshelve(self.server, host="hgx2")
        self.assert_devices(hgx2=1)

    def test_rebuild(self) -> None:
        before = self.cloud.devices_of(self.server)
        self.cloud.rebuild(self.server)
        self.assertEqual(before, self.cloud.devices_of(self.server))

    def test_evacuate(self) -> None:
        self.cloud.fail_host("hgx1")
        self.cloud.evacuate(self.server)
        self.assertEqual("hgx2", self.cloud.host_of(self.server))
        self.cloud.recover_host("hgx1")
        self.assert_devices(hgx2=1)
        self.cloud.boot(self.flavor, host="hgx1")


class TagsPerHost(GpuCloudTest):
    """Hosts with the same device addresses and different tags."""

    hosts = (
        hgx_host("a", first_bus=0x20, model="H100"),
        hgx_host("b", first_bus=0x20, model="H200", product_id="2335"),
        hgx_host("untagged", first_bus=0x20, tags=False),
    )
    options = {"gpu_scheduler": False}

    def test_pools_have_the_tags_of_their_host(self) -> None:
        self.assert_tags()
        self.cloud.run_periodic_tasks()
        for alias in ("h100", "h200"):
            self.cloud.boot(self.cloud.create_flavor(alias, gpus={alias: 1}))
        self.assert_tags()
        self.cloud.run_periodic_tasks()
        self.cloud.fail_host("a")
        self.cloud.recover_host("a")
        self.cloud.add_host(pcie_host("c", first_bus=0x20))
        self.assert_tags()

    def assert_tags(self) -> None:
        pools = self.cloud.scheduler_pools()
        held = {(device.host, device.address) for device in self.cloud.held_devices()}
        self.assertEqual(set(self.cloud.hosts), set(pools))
        for name, host in self.cloud.hosts.items():
            self.assertEqual(
                {
                    device.address: device.tags if host.tags else {}
                    for device in host.devices
                    if (name, device.address) not in held
                },
                {
                    pool["address"]: {tag: pool[tag] for tag in pool if tag.startswith("gpu_")}
                    for pool in pools[name]
                    if pool["count"]
                },
            )


class Consistency(GpuCloudTest):
    """check_consistency reports the inconsistencies that these tests create."""

    hosts = (hgx_host("hgx1"),)
    options = {"gpu_scheduler": False}

    def setUp(self) -> None:
        super().setUp()
        (self.server,) = self.cloud.boot(self.cloud.create_flavor("h100-1", gpus={"h100": 1}))
        (self.held,) = self.cloud.devices_of(self.server)
        self.cloud.check_consistency()

    def check_at_end(self) -> None:
        with self.assertRaisesRegex(AssertionError, self.expected):
            self.cloud.check_consistency()

    def _instance(self) -> objects.Instance:
        return objects.Instance.get_by_uuid(self.cloud.nova.admin_context, self.server["id"])

    def test_free_in_nova_only(self) -> None:
        (row,) = (row for _, row in self.cloud._pci_devices() if row.status == "allocated")
        row.free(self._instance())
        row.save()
        self.expected = f"holds {self.held.address} of hgx1 in Placement, but not according to Nova"

    def test_free_in_placement_only(self) -> None:
        self.cloud.nova.placement.delete(f"/allocations/{self.server['id']}")
        self.expected = f"holds {self.held.address} of hgx1 according to Nova, but not in Placement"

    def test_server_does_not_exist(self) -> None:
        self._instance().destroy()
        self.expected = f"server {self.server['id']} holds .* but does not exist"

    def test_device_allocated_twice(self) -> None:
        domains = self.cloud.nova.computes["hgx1"].driver._host.get_connection()._vms
        (other,) = self.cloud.boot("h100-1")
        first, second = (
            domain._def["devices"]["hostdevs"]
            for domain in sorted(
                domains.values(), key=lambda domain: domain.UUIDString() == other["id"]
            )
        )
        second[0] = first[0]
        self.expected = f"{self.held.address} of hgx1 is held by 2 servers in libvirt"


class Variants(GpuCloudTest):
    options = {"gpu_scheduler": False}

    def test_without_pci_in_placement(self) -> None:
        cloud = self.start_cloud([hgx_host("hgx1")], pci_in_placement=False)
        (server,) = cloud.boot(cloud.create_flavor("h100-1", gpus={"h100": 1}))
        self.assertEqual(["hgx1"], list(cloud.placement_allocations(server)))
        self.assertEqual(1, len(cloud.devices_of(server)))

    def test_device_fields_reach_nova(self) -> None:
        host = hgx_host("hgx1", nics=1, huge_pages_gib_per_node=64).with_devices(
            resource_class="CUSTOM_H100", traits=("CUSTOM_NVLINK",), numa_node=-1
        )
        cloud = self.start_cloud([host], config={("scheduler", "max_placement_results"): 10})
        flavor = cloud.create_flavor(
            "huge", gpus={"h100": 1, "nic": 1}, extra_specs={"hw:mem_page_size": "1GB"}
        )
        (server,) = cloud.boot(flavor)
        amounts = cloud.placement_allocations(server).values()
        self.assertIn({"CUSTOM_H100": 1}, amounts)
        self.assertIn({"CUSTOM_PCI_15B3_1021": 1}, amounts)
        pools = {pool["numa_node"] for pool in cloud.scheduler_pools()["hgx1"]}
        self.assertEqual({None, 0}, pools)

    def test_type_pf_devices(self) -> None:
        cloud = self.start_cloud([hgx_host("hgx1").with_devices(dev_type="PF")])
        cloud.boot(cloud.create_flavor("h100-1", gpus={"h100": 1}))
        self.assertEqual({"type-PF"}, {p["dev_type"] for p in cloud.scheduler_pools()["hgx1"]})

    def test_aggregate(self) -> None:
        cloud = self.start_cloud([cpu_host("cpu1"), cpu_host("cpu2")])
        cloud.create_aggregate("two", ["cpu2"], {"key": "value"})
        manager = cloud.nova.scheduler.manager.host_manager
        self.assertEqual(
            {"cpu2": 1}, {h: len(ids) for h, ids in manager.host_aggregates_map.items()}
        )

    def test_clouds_one_after_the_other(self) -> None:
        for name in ("first", "second"):
            with EmbeddedCloud([hgx_host(name)], gpu_scheduler=False) as cloud:
                (server,) = cloud.boot(cloud.create_flavor("h100-1", gpus={"h100": 1}))
                self.assertEqual(name, cloud.host_of(server))

    def test_all_hosts_must_have_the_same_cpu_layout(self) -> None:
        hosts = [GpuHost("one"), GpuHost("two", cpus_per_node=16, dedicated_cpus_per_node=8)]
        with self.assertRaisesRegex(ValueError, "same layout"):
            EmbeddedCloud(hosts)
