# SPDX-License-Identifier: Apache-2.0
"""Hosts that servers get, with Nova's own weighers at their defaults."""

from __future__ import annotations

import dataclasses

from tests.embedded.fleet import cpu_host, hgx_host, pcie_host
from tests.functional.base import GpuCloudTest


class HostsOfServers(GpuCloudTest):
    def boot(self, name: str, gpus: dict[str, int] | None = None, count: int = 1) -> list[str]:
        """Boot servers and return their hosts."""
        if name not in {flavor["name"] for flavor in self.cloud.nova.api.get_flavors()}:
            self.cloud.create_flavor(name, vcpus=8, ram_mib=65536, gpus=gpus)
        return [self.cloud.host_of(server) or "" for server in self.cloud.boot(name, count=count)]

    def test_pack_fills_one_host_against_novas_ram_and_cpu_weighers(self) -> None:
        self.start_cloud([hgx_host("hgx1"), hgx_host("hgx2"), hgx_host("hgx3", nics=8)])
        hosts = self.boot("one", {"h100": 1}, count=4)
        self.assertEqual(1, len(set(hosts)))
        self.assertEqual(hosts[:1], self.boot("four", {"h100": 4}))
        self.assertNotEqual(hosts[:1], self.boot("eight", {"h100": 8}))

    def test_spread_distributes_servers_evenly(self) -> None:
        self.start_cloud(
            [hgx_host("hgx1"), hgx_host("hgx2")], config={("gpu_passthrough", "policy"): "spread"}
        )
        hosts = self.boot("one", {"h100": 1}, count=4)
        self.assertEqual([2, 2], sorted(hosts.count(host) for host in set(hosts)))

    def test_an_aggregate_disables_the_weigher(self) -> None:
        self.start_cloud([hgx_host("hgx1"), hgx_host("hgx2")])
        self.cloud.create_aggregate(
            "all", ["hgx1", "hgx2"], {"gpu_passthrough:weight_multiplier": "0"}
        )
        # Nova's weighers spread servers.
        self.assertEqual(2, len(set(self.boot("one", {"h100": 1}, count=2))))

    def test_servers_without_gpus_avoid_the_most_valuable_free_gpus(self) -> None:
        # The GPU hosts have much more memory, so that Nova's RAM weigher prefers them.
        memory = {"memory_mib_per_node": 1024 * 1024}
        self.start_cloud(
            [
                hgx_host("hgx1", **memory),
                pcie_host("pcie2", **memory),
                cpu_host("cpu3", memory_mib_per_node=100 * 1024),
            ]
        )
        # cpu3 has room for three servers, and pcie2 for the next ones.
        hosts = self.boot("cpu", count=3) + self.boot("cpu") + self.boot("cpu")
        self.assertEqual(["cpu3", "cpu3", "cpu3", "pcie2", "pcie2"], hosts)


class LearnedRequests(GpuCloudTest):
    def host_after_a_large_server_came_and_went(self, half_life: int) -> str | None:
        """Return the host of a server with one GPU, where one host has 4 GPUs free and one 5."""
        hosts = [
            dataclasses.replace(host, gpus=host.gpus[:free])
            for host, free in ((hgx_host("hgx1"), 4), (hgx_host("hgx2"), 5))
        ]
        self.start_cloud(
            hosts,
            config={
                ("gpu_passthrough", "policy"): "fragmentation",
                ("gpu_passthrough", "mix_half_life"): half_life,
            },
        )
        for name, count in (("four", 4), ("one", 1)):
            self.cloud.create_flavor(name, vcpus=8, ram_mib=65536, gpus={"h100": count})
        (large,) = self.cloud.boot("four")
        self.cloud.delete(large)
        return self.cloud.host_of(self.cloud.boot("one")[0])

    def test_four_gpus_stay_together_after_a_request_for_four(self) -> None:
        self.assertEqual("hgx2", self.host_after_a_large_server_came_and_went(1000))

    def test_a_scheduler_that_does_not_learn_packs(self) -> None:
        self.assertEqual("hgx1", self.host_after_a_large_server_came_and_went(0))


class Protection(GpuCloudTest):
    def boot(self, vcpus: int, ram_mib: int, expect: str = "ACTIVE") -> str | None:
        """Boot a server without GPUs and return its host."""
        flavor = self.cloud.create_flavor(f"cpu-{vcpus}-{ram_mib}", vcpus=vcpus, ram_mib=ram_mib)
        return self.cloud.host_of(self.cloud.boot(flavor, expect=expect)[0])

    def test_gpu_hosts_only_for_gpu_servers(self) -> None:
        self.start_cloud([hgx_host("hgx1")], config={("gpu_passthrough", "only_gpu_servers"): True})
        self.boot(1, 512, expect="ERROR")
        flavor = self.cloud.create_flavor("h100-8", ram_mib=1024, gpus={"h100": 8})
        (server,) = self.cloud.boot(flavor)
        # With all GPUs in use, the pools show none, but the host is known.
        self.boot(1, 1024, expect="ERROR")
        self.assertEqual("hgx1", self.cloud.host_of(server))
        self.cloud.create_aggregate("open", ["hgx1"], {"gpu_passthrough:only_gpu_servers": "no"})
        self.assertEqual("hgx1", self.boot(1, 2048))

    def test_an_aggregate_reserves_its_hosts_for_gpu_servers(self) -> None:
        self.start_cloud([hgx_host("hgx1"), cpu_host("cpu2")])
        self.cloud.create_aggregate("gpus", ["hgx1"], {"gpu_passthrough:only_gpu_servers": "true"})
        self.assertEqual("cpu2", self.boot(1, 512))
        self.cloud.fail_host("cpu2")
        self.boot(1, 1024, expect="ERROR")

    def test_vcpus_and_ram_are_reserved_for_every_free_gpu(self) -> None:
        # 2 x 32 CPUs for shared vCPUs, 2 x 512 GiB of RAM (512 MiB are the host's).
        self.start_cloud(
            [hgx_host("hgx1")],
            config={
                (None, "cpu_allocation_ratio"): 1.0,
                ("gpu_passthrough", "reserved_vcpus_per_gpu"): 6,
                ("gpu_passthrough", "reserved_ram_mib_per_gpu"): 100 * 1024,
            },
        )
        gpus = self.cloud.create_flavor("h100-4", vcpus=4, ram_mib=1024, gpus={"h100": 4})
        # 8 free GPUs reserve 800 GiB, 4 reserve 400 GiB.
        self.boot(1, 300 * 1024, expect="ERROR")
        self.cloud.boot(gpus)
        self.assertEqual("hgx1", self.boot(1, 300 * 1024 + 1))
        # 4 free GPUs reserve 24 of the vCPUs.
        self.boot(120, 512, expect="ERROR")
        self.assertEqual("hgx1", self.boot(8, 512))
        # A server with GPUs may use what is reserved.
        self.assertEqual("hgx1", self.cloud.host_of(self.cloud.boot(gpus)[0]))
        reasons = self.cloud.log_lines("DEBUG", containing="without GPUs")
        self.assertRegex(reasons[0].message, r"\d+ MiB of RAM would be left, 819200 are reserved")
