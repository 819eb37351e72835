# SPDX-License-Identifier: Apache-2.0
"""Hosts and flavors of the demo, and the order of the servers."""

from typing import NamedTuple

from tests.embedded.fleet import GpuHost, cpu_host, hgx_host, pcie_host


class FlavorSpec(NamedTuple):
    """A flavor with its PCI aliases and number of guest NUMA cells (0: no NUMA topology)."""

    vcpus: int
    ram_mib: int
    aliases: dict[str, int]
    numa_nodes: int = 0


#: NUMA policy of the aliases: the one that restricts Nova least.
NUMA_POLICY = "preferred"

FLAVORS = {
    "cpu.8": FlavorSpec(8, 16384, {}),
    "h100.1": FlavorSpec(4, 32768, {"h100": 1}, 1),
    "h100.2": FlavorSpec(8, 65536, {"h100": 2}, 1),
    "h100.4": FlavorSpec(16, 131072, {"h100": 4}, 1),
    "h100.8": FlavorSpec(32, 262144, {"h100": 8}, 2),
    "l40s.1": FlavorSpec(4, 32768, {"l40s": 1, "gpu-audio": 1}),
    "l40s.2": FlavorSpec(8, 65536, {"l40s": 2}),
}

#: Flavors of the servers in the order of the requests.
SEQUENCE = (
    "h100.1",
    "cpu.8",
    "h100.2",
    "l40s.1",
    "h100.1",
    "cpu.8",
    "l40s.2",
    "h100.4",
    "cpu.8",
    "cpu.8",
    "l40s.1",
    "cpu.8",
    "h100.8",
)


def hosts() -> list[GpuHost]:
    """Return two HGX-like hosts, one with PCIe cards and one without GPUs."""
    return [hgx_host("hgx1"), hgx_host("hgx2"), pcie_host("pcie3"), cpu_host("cpu4")]
