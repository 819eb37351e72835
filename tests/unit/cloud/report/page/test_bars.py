# SPDX-License-Identifier: Apache-2.0
"""How much is used, as bars."""

import dataclasses

from nova_gpu_passthrough.cloud.report.page import bars
from nova_gpu_passthrough.cloud.report.page.node import NodeRoom, room
from nova_gpu_passthrough.cloud.view.model import Resource
from tests.unit.cloud.report import fleets


def test_a_node_shows_cpus_for_pinning_and_memory():
    cpu, ram = bars.of_node(room(fleets.cell(0, pinned=15, used_mib=126 * 1024)))
    assert (cpu.name, cpu.percent, cpu.text) == ("CPU", 25.0, "45 of 60 free")
    assert cpu.title == "45 of 60 CPUs for pinning free"
    assert (ram.name, ram.percent, ram.text) == ("RAM (GiB)", 25.0, "378 of 504 free")
    assert ram.title == "378 of 504 GiB of RAM free"


def test_a_node_without_cpus_for_pinning_shows_those_that_are_shared():
    cpu, _ = bars.of_node(NodeRoom(0, 0, 0, 64, 16, 1024, 1024))
    assert (cpu.percent, cpu.title) == (25.0, "48 of 64 shared CPUs free")


def test_overcommitted_cpus_fill_the_bar():
    cpu, _ = bars.of_node(NodeRoom(0, 0, 0, 64, 100, 1024, 1024))
    assert (cpu.percent, cpu.text) == (100.0, "0 of 64 free")


def test_a_node_of_which_nothing_is_known_has_no_bars():
    assert list(bars.of_node(NodeRoom(0, 0, 0, 0, 0, 0, 0))) == []


def test_a_host_shows_what_placement_has():
    host = fleets.hgx("h", (fleets.IN_USE,) * 4 + (fleets.FREE,) * 4, (4,))
    found = {bar.name: bar.text for bar in bars.of_host(host)}
    assert found == {
        "PCPU": "60 of 120 free",
        "VCPU": "16 of 16 free",
        "RAM (GiB)": "528 of 1008 free",
    }


def test_what_a_host_has_none_of_has_no_bar():
    none = {"PCPU": Resource(0), "VCPU": Resource(4, reserved=4)}
    host = dataclasses.replace(fleets.hgx("h"), resources=none)
    assert list(bars.of_host(host)) == []
