# SPDX-License-Identifier: Apache-2.0
"""A drawing has each GPU, NIC, switch and NUMA node once, in its place."""

import dataclasses
import io
import re

import pytest
from rich.console import Console

from nova_gpu_passthrough.cli.drawing import draw
from nova_gpu_passthrough.inventory.host import NumaNode
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import Gpu, PciDevice, Role
from tests.trees import defects
from tests.unit.audited import HGX, MACHINES, audit_machine
from tests.unit.host.test_fuzz import MACHINE

SMALL = """\
tree, Xeon, IOMMU intel, 11 groups
├── NUMA node 0, socket 0: CPUs 0, 1 GiB
│   ├── PCIe switch 0000:01:00.0
│   │   ├── GPU 0000:03:00.0 H100-SXM  32 GT/s x16  group 4  ready
│   │   ├── GPU 0000:04:00.0 H100-SXM  32 GT/s x16  group 6  ready after configuration
│   │   └── NIC 0000:05:00.0 MT2910 Family [ConnectX-7]
│   └── GPU 0000:06:00.0 L40S  16 GT/s x16  group 10  + audio .1  ready after configuration
└── NUMA node 1, socket 1: CPUs 1, 1 GiB
"""


def _text(inventory, width=4096):
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(draw(inventory))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _below(text):
    """Return for each line its parent in the tree, by indentation."""
    parents, above = {}, []
    for line in text.splitlines()[1:]:
        depth = re.match(r"[│├└─ ]*", line).end() // 4
        name = line[depth * 4 :]
        above[depth - 1 :] = [name]
        parents[name] = above[depth - 2] if depth > 1 else None
    return parents


def test_a_small_machine():
    assert _text(audit_machine(MACHINE)) == SMALL


@pytest.mark.parametrize("name", MACHINES)
def test_everything_is_drawn_once(name):
    machine = MACHINES[name]
    inventory = audit_machine(machine)
    text = _text(inventory)
    drawn = re.findall(r"(?:GPU|NIC|NVSwitch) (\S+)", text)
    expected = [
        device.address
        for device in inventory.devices
        if device.role in (Role.GPU, Role.NIC, Role.NVSWITCH)
    ]
    assert sorted(drawn) == expected
    switches = re.findall(r"PCIe switch (\S+)", text)
    assert sorted(switches) == sorted({gpu.switch for gpu in inventory.gpus if gpu.switch})
    assert re.findall(r"NUMA node (\d+)", text) == [str(node.id) for node in machine.nodes]


def test_every_gpu_is_below_its_switch_and_node():
    inventory = audit_machine(HGX)
    below = _below(_text(inventory))
    for gpu in inventory.gpus:
        line = next(name for name in below if name.startswith(f"GPU {gpu.address} "))
        assert below[line] == f"PCIe switch {gpu.switch}"
        assert below[below[line]].startswith(f"NUMA node {inventory.device(gpu).numa_node},")
        assert line.endswith("  ready")


def test_link_groups_are_at_the_end():
    inventory = audit_machine(HGX)
    gpus = tuple(
        dataclasses.replace(gpu, link_group=("nvs0", f"p{n // 2}"), link_source="x.txt")
        for n, gpu in enumerate(inventory.gpus)
    )
    text = _text(dataclasses.replace(inventory, gpus=gpus))
    last = text.splitlines()[-1]
    assert last.startswith("└── link group nvs0 (x.txt): 0000:18:00.0, 0000:2a:00.0")
    assert last.count("0000:") == 8
    assert text.count("nvs0/p0") == 2


def test_a_gpu_without_a_node_is_drawn_separately():
    inventory = audit_machine(defects.no_numa_node(HGX, "0000:18:00.0"))
    below = _below(_text(inventory))
    (line,) = (name for name in below if name.startswith("GPU 0000:18:00.0"))
    assert below[below[line]] == "NUMA node not reported"


def _bare(*nodes, gpu_node=None):
    device = PciDevice("0000:ab:00.0", "030200", "10de", "2330", Role.GPU, numa_node=gpu_node)
    gpu = Gpu(device.address, "H100-SXM", "catalogue", device.slot)
    return Inventory("h", "sysfs", "now", numa_nodes=nodes, devices=(device,), gpus=(gpu,))


@pytest.mark.parametrize(
    ("inventory", "lines"),
    [
        (_bare(NumaNode(0), gpu_node=None), ["NUMA node 0: CPUs none, 0 GiB", "GPU"]),
        (_bare(), ["NUMA node not reported", "GPU"]),
        (_bare(NumaNode(0), gpu_node=7), ["NUMA node 0: CPUs none", "NUMA node 7", "GPU"]),
    ],
)
def test_missing_and_unknown_nodes(inventory, lines):
    text = _text(inventory)
    assert [line.lstrip("│├└─ ").startswith(start) for line, start in
            zip(text.splitlines()[1:], lines, strict=True)] == [True] * len(lines)  # fmt: skip


def test_an_address_is_not_replaced_by_an_emoji():
    """Rich would replace ``:ab:`` in a string."""
    assert "GPU 0000:ab:00.0 H100-SXM" in _text(_bare(NumaNode(0), gpu_node=0))


@pytest.mark.parametrize("name", ["[bold]x[/]", ":snake:", "[red", "a\nb"])
def test_names_are_not_taken_for_markup(name):
    inventory = _bare(NumaNode(0), gpu_node=0)
    gpu = dataclasses.replace(inventory.gpus[0], model=name, link_group=(name,), link_source=name)
    inventory = dataclasses.replace(inventory, host=name, gpus=(gpu,))
    assert name.split("\n")[0] in _text(inventory)


def test_a_host_without_devices():
    assert _text(Inventory("h", "sysfs", "now")) == "h, no IOMMU\n"
    assert _text(Inventory("h", "hwloc", "now")) == "h\n"
