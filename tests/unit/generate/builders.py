# SPDX-License-Identifier: Apache-2.0
"""Builders of inventories: of a few typical hosts, and of any host."""

import dataclasses

from hypothesis import strategies as st

from nova_gpu_passthrough.inventory.findings import Verdict
from nova_gpu_passthrough.inventory.host import (
    Cpu,
    Iommu,
    IommuKind,
    Kernel,
    Machine,
    ModuleState,
    NumaNode,
)
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import Bar, Gpu, PciDevice, Role

GIB = 2**30
CLASSES = {
    Role.GPU: "030200",
    Role.AUDIO: "040300",
    Role.USB: "0c0330",
    Role.UCSI: "0c8000",
    Role.NIC: "020000",
    Role.NVSWITCH: "068000",
    Role.DISPLAY: "030000",
}


def device(address, role=Role.GPU, ids="10de:2330", numa_node=0, **changes):
    """A PCI function."""
    vendor, product = ids.split(":")
    return PciDevice(address, CLASSES[role], vendor, product, role, numa_node=numa_node, **changes)


def gpu(address, model="H100-SXM", **changes):
    """A GPU as the audit describes it."""
    card = address.rpartition(".")[0]
    return Gpu(address, model, "catalogue", card, **changes)


def nodes(count=2, cores=8, memory_mib=256 * 1024, threads=2):
    """NUMA nodes with CPUs numbered as by Intel: second threads after all first threads."""
    total = count * cores
    found = []
    for node in range(count):
        members = [
            [core + thread * total for thread in range(threads)]
            for core in range(node * cores, (node + 1) * cores)
        ]
        cpus = ",".join(f"{members[0][thread]}-{members[-1][thread]}" for thread in range(threads))
        distances = tuple(10 if other == node else 21 for other in range(count))
        found.append(
            NumaNode(
                node,
                node,
                cpus,
                tuple(",".join(map(str, core)) for core in members),
                memory_mib,
                distances=distances,
            )
        )
    return tuple(found)


def inventory(host="gpu1", devices=(), gpus=(), **changes):
    """A host with an Intel processor and Debian 12; all its GPUs are ready."""
    facts = {
        "machine": Machine("Maker", "Server", "debian", (), "12"),
        "cpu": Cpu("intel", "Xeon", 46),
        "kernel": Kernel("6.1.0", "quiet"),
        "iommu": Iommu(IommuKind.INTEL, "DMAR", 60, True),
        "numa_nodes": nodes(),
        "verdicts": {gpu.address: Verdict.READY for gpu in gpus},
        **changes,
    }
    return Inventory(
        host,
        "sysfs",
        "2026-01-01T00:00:00Z",
        devices=tuple(sorted(devices, key=lambda device: device.address)),
        gpus=tuple(gpus),
        **facts,
    )


def hgx(host="hgx1", links=True, **changes):
    """A host with eight SXM GPUs on two NUMA nodes, four NVSwitches, and a NIC on each switch."""
    functions, gpus = [], []
    for number in range(8):
        node, switch = number // 4, f"0000:{0x10 + number // 2:02x}:00.0"
        address = f"0000:{0x20 + number:02x}:00.0"
        functions.append(
            device(
                address,
                numa_node=node,
                sriov_total_vfs=16,
                bridges=("0000:00:01.0", switch),
                modules=("nouveau",),
                bars=(
                    Bar(0, 16 * 2**20, True, True),
                    Bar(2, 128 * GIB, True, True),
                    Bar(4, 32 * 2**20, True, True),
                ),
            )
        )
        gpus.append(
            gpu(
                address,
                link_group=("nvs0", f"q{node}", f"p{number // 2}") if links else (),
                switch=switch,
            )
        )
    functions += [
        device(f"0000:{0x30 + number:02x}:00.0", Role.NVSWITCH, "10de:22a3") for number in range(4)
    ]
    functions += [
        device(
            f"0000:{0x40 + number:02x}:00.0",
            Role.NIC,
            "15b3:1021",
            numa_node=number // 2,
            bridges=("0000:00:01.0", f"0000:{0x10 + number:02x}:00.0"),
            driver="mlx5_core",
        )
        for number in range(4)
    ]
    return inventory(host, functions, gpus, **changes)


def l40s(host="l40s1", count=4, audio=True, **changes):
    """A host with AMD processors and PCIe GPUs, half of them on each NUMA node."""
    functions, gpus = [], []
    for number in range(count):
        node, slot = number * 2 // count, f"0000:{0x41 + number:02x}:00"
        functions.append(
            device(
                f"{slot}.0",
                ids="10de:26b9",
                numa_node=node,
                sriov_total_vfs=32,
                bars=(Bar(0, 16 * 2**20), Bar(1, 64 * GIB, True, True)),
            )
        )
        if audio:
            functions.append(device(f"{slot}.1", Role.AUDIO, "10de:22ba", numa_node=node))
        companions = (f"{slot}.1",) if audio else ()
        gpus.append(gpu(f"{slot}.0", "L40S", companions=companions))
    changes.setdefault("cpu", Cpu("amd", "EPYC", 48))
    return inventory(host, functions, gpus, **changes)


def with_vfs(host="vf1"):
    """A host with a GPU whose two VFs are for servers."""
    parent = "0000:51:00.0"
    functions = [
        device(parent, ids="1002:74a1", sriov_total_vfs=8, sriov_vfs=2, driver="gim"),
        device("0000:51:02.0", ids="1002:74b5", physical_function=parent),
        device("0000:51:02.1", ids="1002:74b5", physical_function=parent),
    ]
    gpus = [
        gpu(parent, "MI300X"),
        gpu("0000:51:02.0", "MI300X-VF", link_group=("hive0",)),
        gpu("0000:51:02.1", "MI300X-VF", link_group=("hive1",)),
    ]
    return inventory(host, functions, gpus)


def changed(found, address, **changes):
    """Return an inventory in which the device at an address is changed."""
    return dataclasses.replace(
        found,
        devices=tuple(
            dataclasses.replace(d, **changes) if d.address == address else d for d in found.devices
        ),
    )


_MODELS = st.sampled_from(
    [("10de:2330", "H100-SXM"), ("10de:26b9", "L40S"), ("1002:74a1", "MI300X"), ("10de:2684", "X")]
)
_COMPANIONS = {Role.AUDIO: "10de:22ba", Role.USB: "10de:1ad6", Role.UCSI: "10de:1ad7"}
_NAMES = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789._-", min_size=1, max_size=8).filter(
    lambda text: any(c.isalnum() for c in text)
)


@st.composite
def _slot(draw, number, node_ids):
    """The functions of a slot, and its GPU if it has one."""
    slot = f"{draw(st.sampled_from(['0000', '0001']))}:{number:02x}:00"
    node = draw(st.sampled_from([None, *node_ids]))
    role = draw(st.sampled_from([Role.GPU] * 4 + [Role.NIC, Role.NVSWITCH, Role.DISPLAY]))
    if role is not Role.GPU:
        ids = {Role.NIC: "15b3:1021", Role.NVSWITCH: "10de:22a3", Role.DISPLAY: "1a03:2000"}[role]
        return [device(f"{slot}.0", role, ids, node)], []
    ids, model = draw(_MODELS)
    companions = draw(st.lists(st.sampled_from(sorted(_COMPANIONS)), max_size=3, unique=True))
    functions = [
        device(
            f"{slot}.0",
            ids=ids,
            numa_node=node,
            sriov_total_vfs=draw(st.sampled_from([None, 16])),
            driver=draw(st.sampled_from([None, "nouveau", "vfio-pci"])),
        )
    ]
    functions += [
        device(f"{slot}.{n}", r, _COMPANIONS[r], node) for n, r in enumerate(companions, start=1)
    ]
    found = gpu(
        f"{slot}.0",
        model,
        companions=tuple(d.address for d in functions[1:]),
        link_group=tuple(draw(st.lists(_NAMES, max_size=3))),
        switch=draw(st.sampled_from([None, "0000:10:00.0"])),
    )
    return functions, [found]


@st.composite
def inventories(draw, hosts=2):
    """One or more hosts of any kind; at least the first one has a GPU for servers."""
    made = []
    for number in range(draw(st.integers(1, hosts))):
        node_count = draw(st.integers(1, 4))
        numa = nodes(
            node_count,
            draw(st.integers(1, 40)),
            draw(st.sampled_from([0, 4096, 200_000, 1_000_001])),
            draw(st.sampled_from([1, 2, 4])),
        )
        slots = [
            draw(_slot(0x20 + n, [node.id for node in numa]))
            for n in range(draw(st.integers(1, 9)))
        ]
        if number == 0:
            slots.append(([device("0000:1f:00.0")], [gpu("0000:1f:00.0")]))
        gpus = [found for _, members in slots for found in members]
        verdicts = {
            found.address: Verdict.READY
            if number == 0 and found.address == "0000:1f:00.0"
            else draw(st.sampled_from(Verdict))
            for found in gpus
        }
        builtin = draw(st.sampled_from([(), ("nouveau",), ("xhci_pci",), ("vfio_pci",)]))
        made.append(
            inventory(
                f"host{number}",
                [function for functions, _ in slots for function in functions],
                gpus,
                machine=draw(
                    st.sampled_from(
                        [
                            Machine(os_id="debian", os_version="12"),
                            Machine(os_id="ubuntu", os_like=("debian",), os_version="26.04"),
                            Machine(os_id="rocky", os_like=("rhel", "fedora"), os_version="9.6"),
                            Machine(os_id="opensuse-leap", os_like=("suse",)),
                            Machine(),
                        ]
                    )
                ),
                cpu=Cpu(draw(st.sampled_from(["intel", "amd", "arm", None])), None, 46),
                kernel=Kernel("6.1", "", dict.fromkeys(builtin, ModuleState.BUILTIN)),
                numa_nodes=numa,
                verdicts=verdicts,
            )
        )
    return made


def applied(found, addresses):
    """Return the inventory after the generated files have bound these functions."""
    return dataclasses.replace(
        found,
        devices=tuple(
            dataclasses.replace(d, driver="vfio-pci") if d.address in addresses else d
            for d in found.devices
        ),
        kernel=dataclasses.replace(found.kernel, command_line="intel_iommu=on iommu=pt"),
    )
