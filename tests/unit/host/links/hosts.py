# SPDX-License-Identifier: Apache-2.0
"""PCI functions, GPUs and tool output for the tests of links."""

import dataclasses

from nova_gpu_passthrough.host.classify import gpus_of, role_of
from nova_gpu_passthrough.inventory.pci import PciDevice

#: Module ids of an HGX H100's GPUs in the order of their PCI addresses, from NVIDIA's HGX Shared
#: NVSwitch GPU Passthrough Virtualization Integration Guide (WP-12736-002).
MODULES = (5, 7, 6, 8, 1, 3, 2, 4)
BUSES = ("0f", "10", "41", "44", "86", "87", "b8", "bb")


def function(address, ids, class_code="030200", **facts):
    """Return a PCI function."""
    vendor, product = ids.split(":")
    role = role_of(class_code, vendor, product, {})
    return PciDevice(address, class_code, vendor, product, role, **facts)


def addresses(count=8):
    """Return the sorted addresses of GPUs."""
    return [f"0000:{bus}:00.0" for bus in BUSES[:count]]


def gpus(ids, count=8):
    """Return GPUs of one product."""
    return [function(address, ids) for address in addresses(count)]


def nvswitches(ids, count, driver=None):
    """Return NVSwitches of one product."""
    return [
        function(f"0000:03:{slot:02x}.0", ids, "068000", driver=driver) for slot in range(count)
    ]


def hgx_h100(driver="nvidia-nvswitch", gpu_count=8, switch_count=4):
    """Return the devices of an HGX H100 board."""
    return gpus("10de:2330", gpu_count) + nvswitches("10de:22a3", switch_count, driver)


def gpus_with_peers(devices, peers):
    """Return the GPUs among functions, with these peers by address."""
    return [
        dataclasses.replace(gpu, peers=tuple(peers.get(gpu.address, ())))
        for gpu in gpus_of(devices, {})
    ]


def matrix(size, joined, nics=0):
    """Return ``nvidia-smi topo -m``.

    :param joined: cells by pairs of indexes, the lower index first
    """
    head = [f"GPU{i}" for i in range(size)] + [f"NIC{i}" for i in range(nics)]
    lines = ["\t\x1b[4m" + "\t".join([*head, "CPU Affinity", "NUMA Affinity"]) + "\x1b[0m"]
    for a in range(size):
        cells = [
            " X " if a == b else joined.get((min(a, b), max(a, b)), "SYS") for b in range(size)
        ]
        lines.append("\t".join([f"GPU{a}", *cells, *["NODE"] * nics, "0-31", "0"]))
    for nic in range(nics):
        cells = ["NODE"] * size + [" X " if nic == other else "PIX" for other in range(nics)]
        lines.append("\t".join([f"NIC{nic}", *cells, "", ""]))
    legend = (
        "\nLegend:\n\n  X    = Self\n  NV#  = Connection traversing a bonded set of # NVLinks\n"
    )
    return "\n".join(lines) + "\n" + legend


def every_pair(size, cell="NV18"):
    """Return the cells of a matrix that joins all GPUs."""
    return {(a, b): cell for a in range(size) for b in range(a + 1, size)}


def query(members):
    """Return ``nvidia-smi --query-gpu=index,pci.bus_id --format=csv`` for addresses by index."""
    rows = [f"{index}, 0000{address.upper()}" for index, address in members.items()]
    return "\n".join(["index, pci.bus_id", *rows]) + "\n"


def module_ids(modules):
    """Return the relevant lines of ``nvidia-smi -q`` for module ids by address."""
    lines = ["==============NVSMI LOG==============", f"Attached GPUs : {len(modules)}"]
    for address, module in modules.items():
        lines += [
            f"GPU 0000{address.upper()}",
            "    Product Name                                       : NVIDIA H100 80GB HBM3",
            "    Platform Info",
            f"        Module Id                                      : {module}",
            "    PCI",
            f"        Bus Id                                         : 0000{address.upper()}",
        ]
    return "\n".join(lines) + "\n"
