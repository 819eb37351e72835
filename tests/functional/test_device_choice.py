# SPDX-License-Identifier: Apache-2.0
"""The devices that the filter chooses, for single servers and multi-creates."""

from __future__ import annotations

import dataclasses

from tests.embedded.cloud import Server
from tests.embedded.fleet import GPU, GpuHost, hgx_host, pcie_host
from tests.functional.base import GpuCloudTest

#: The valid NVSwitch partitions of eight GPUs, by size.
PARTITIONS = {
    1: [{n} for n in range(8)],
    2: [{0, 1}, {2, 3}, {4, 5}, {6, 7}],
    4: [{0, 1, 2, 3}, {4, 5, 6, 7}],
    8: [set(range(8))],
}


class DeviceChoiceTest(GpuCloudTest):
    """Helpers of the tests in this file."""

    def flavor(self, count: int, **extra_specs: str) -> str:
        name = f"h100-{count}-{len(self.cloud.nova.api.get_flavors())}"
        specs = {name.replace("__", ":"): value for name, value in extra_specs.items()}
        return self.cloud.create_flavor(
            name, vcpus=2, ram_mib=1024, gpus={"h100": count}, extra_specs=specs
        )

    def gpu_numbers(self, server: Server) -> set[int]:
        """Return the numbers 0..7 of a server's GPUs on its host."""
        return {int(held.address[6], 16) for held in self.cloud.devices_of(server)}

    def nodes(self, server: Server) -> set[int]:
        return {held.device.numa_node for held in self.cloud.devices_of(server)}

    def assert_partition(self, server: Server) -> None:
        gpu_numbers = self.gpu_numbers(server)
        self.assertIn(gpu_numbers, PARTITIONS[len(gpu_numbers)])


class OneHgxHost(DeviceChoiceTest):
    hosts = (hgx_host("hgx1"),)

    def test_servers_of_all_sizes_keep_partitions_whole(self) -> None:
        servers = [self.cloud.boot(self.flavor(count))[0] for count in (1, 2, 1, 4)]
        for server in servers:
            self.assert_partition(server)
        self.assertEqual(set(range(8)), set().union(*map(self.gpu_numbers, servers)))

        # The pair of the single GPUs and the other pair are free again: exactly one quad.
        self.cloud.delete(*servers[:3])
        (server,) = self.cloud.boot(self.flavor(4, hw__numa_nodes="1", gpu__link="required"))
        self.assert_partition(server)
        self.assertEqual([*self.nodes(server)], self.cloud.guest_numa_nodes(server))

    def test_servers_created_together(self) -> None:
        for count, size in ((8, 1), (4, 2), (2, 4), (1, 8)):
            for specs in ({}, {"hw__numa_nodes": "2" if size == 8 else "1"}):
                with self.subTest(servers=count, gpus=size, **specs):
                    servers = self.cloud.boot(self.flavor(size, **specs), count=count)
                    for server in servers:
                        self.assertEqual("ACTIVE", server["status"])
                        self.assert_partition(server)
                        if specs:
                            self.assertEqual(
                                self.nodes(server), set(self.cloud.guest_numa_nodes(server))
                            )
                    numbers = [slot for server in servers for slot in self.gpu_numbers(server)]
                    self.assertEqual(list(range(8)), sorted(numbers))
                    self.cloud.check_consistency()
                    self.cloud.delete(*servers)

    def test_a_multi_create_that_does_not_fit_leaves_nothing_allocated(self) -> None:
        self.cloud.delete(*self.cloud.boot(self.flavor(4), count=3, expect="ERROR"))
        self.assertEqual(8, len(self.cloud.free_gpus("hgx1")))

    def test_a_pair_gets_one_node_with_the_preferred_policy(self) -> None:
        """Nova alone selected a GPU of each node here."""
        singles = [self.cloud.boot(self.flavor(1))[0] for _ in range(3)]
        (server,) = self.cloud.boot(
            self.flavor(2, hw__numa_nodes="1", hw__pci_numa_affinity_policy="preferred")
        )
        self.assertEqual(1, len(self.nodes(server)))
        self.assertEqual(3, len(singles))

    def test_one_candidate_reaches_the_later_filters(self) -> None:
        self.cloud.boot(self.flavor(2))
        tried = self.cloud.log_lines("DEBUG", containing="PciPassthroughFilter tries allocation")
        self.assertEqual(1, len(tried))


def _classed(host: GpuHost) -> GpuHost:
    """Set a resource class on the GPUs of a host, but not on their companions."""
    return dataclasses.replace(
        host,
        gpus=tuple(
            dataclasses.replace(gpu, resource_class="CUSTOM_GPU") if gpu.role == GPU else gpu
            for gpu in host.gpus
        ),
    )


class RequirementsOfFlavors(DeviceChoiceTest):
    hosts = (_classed(hgx_host("hgx1")), _classed(pcie_host("pcie3")))
    options = {
        "aliases": [
            {"name": "any-gpu", "resource_class": "CUSTOM_GPU"},
            {"name": "gpu-audio", "vendor_id": "10de", "product_id": "22ba"},
        ]
    }

    def boot(self, aliases: dict[str, int], expect: str = "ACTIVE", **specs: str) -> Server:
        name = f"flavor-{len(self.cloud.nova.api.get_flavors())}"
        extra_specs = {key.replace("__", ":"): value for key, value in specs.items()}
        flavor = self.cloud.create_flavor(
            name, vcpus=2, ram_mib=1024, gpus=aliases, extra_specs=extra_specs
        )
        return self.cloud.boot(flavor, expect=expect)[0]

    def test_an_alias_with_only_a_resource_class(self) -> None:
        # Only the HGX host has links.
        linked = self.boot({"any-gpu": 2}, gpu__link="required")
        self.assertEqual("hgx1", self.cloud.host_of(linked))
        self.assert_partition(linked)

        # Only the PCIe host has companions.
        with_audio = self.boot({"any-gpu": 2, "gpu-audio": 2})
        self.assertEqual("pcie3", self.cloud.host_of(with_audio))
        held = self.cloud.devices_of(with_audio)
        cards = [device.device.card for device in held]
        self.assertEqual(4, len(held))
        self.assertEqual(2, len(set(cards)))
        self.assertEqual(1, len({device.device.numa_node for device in held}))

    def test_an_unmet_requirement_is_logged(self) -> None:
        for specs, reason in (
            ({"gpu__link": "required"}, "free GPUs are not in one link group"),
            ({"gpu__switch": "required"}, "free GPUs are not behind one PCIe switch"),
            ({"gpu__numa": "required"}, "free GPUs are not on allowed NUMA nodes"),
        ):
            with self.subTest(**specs):
                server = self.boot({"any-gpu": 4, "gpu-audio": 1}, expect="ERROR", **specs)
                (line,) = self.cloud.log_lines(containing=f"of server {server['id']}")
                self.assertIn("0 of 1 hosts fit", line.message)
                self.assertIn(f"refused: 1 {reason}", line.message)
        self.assertEqual([], self.cloud.held_devices())

    def test_companions_of_another_card_are_refused(self) -> None:
        # Two cards lose their audio function; with_audio then uses the other two.
        for _ in range(2):
            self.boot({"gpu-audio": 1})
        with_audio = self.boot({"any-gpu": 2, "gpu-audio": 2})
        self.assertEqual("pcie3", self.cloud.host_of(with_audio))
        held = self.cloud.devices_of(with_audio)
        self.assertEqual(2, len({device.device.card for device in held}))
        refused = self.boot({"any-gpu": 1, "gpu-audio": 1}, expect="ERROR")
        self.assertEqual([], self.cloud.devices_of(refused))


class GpusWithNics(DeviceChoiceTest):
    hosts = (hgx_host("hgx1", nics=8),)
    # With fewer candidates Placement lists only some of the GPUs, and the filter uses no others as
    # long as these fit.
    options = {"max_allocation_candidates": 1000}

    def test_nics_come_from_the_switches_of_the_gpus(self) -> None:
        flavor = self.cloud.create_flavor("rail", vcpus=2, ram_mib=1024, gpus={"h100": 2, "nic": 2})
        servers = self.cloud.boot(flavor, count=4)
        for server in servers:
            held = [device.device for device in self.cloud.devices_of(server)]
            self.assertEqual(4, len(held))
            self.assertEqual(1, len({device.switch for device in held}))


class WithoutTags(DeviceChoiceTest):
    hosts = (hgx_host("hgx1", tags=False),)

    def test_gpus_are_known_by_catalogue_and_numa_node(self) -> None:
        servers = self.cloud.boot(self.flavor(3), count=2)
        for server in servers:
            self.assertEqual(1, len(self.nodes(server)))
        (refused,) = self.cloud.boot(self.flavor(2, gpu__link="required"), expect="ERROR")
        (line,) = self.cloud.log_lines(containing=refused["id"], logger="nova_gpu_passthrough")
        self.assertIn("free GPUs are not in one link group", line.message)


class WithoutPlacement(DeviceChoiceTest):
    hosts = (hgx_host("hgx1"), hgx_host("hgx2"))
    options = {"pci_in_placement": False}

    def test_hosts_are_filtered_and_nova_chooses_the_devices(self) -> None:
        first = self.cloud.boot(self.flavor(4))[0]
        second = self.cloud.boot(self.flavor(2))[0]
        self.assertEqual(self.cloud.host_of(first), self.cloud.host_of(second))
        third = self.cloud.boot(self.flavor(8))[0]
        self.assertNotEqual(self.cloud.host_of(first), self.cloud.host_of(third))
        (refused,) = self.cloud.boot(self.flavor(4), expect="ERROR")
        (line,) = self.cloud.log_lines(
            containing=refused["id"], logger="nova_gpu_passthrough.scheduler.refusal_log"
        )
        self.assertRegex(line.message, "0 of 2 hosts fit; refused: 1 no free .*, 1 too few free")
        together = self.cloud.boot(self.flavor(1), count=2)
        self.assertEqual(2, len({self.cloud.devices_of(s)[0].address for s in together}))
