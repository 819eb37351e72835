# SPDX-License-Identifier: Apache-2.0
"""Write the files of Linux about processors, memory, firmware and IOMMUs."""

import struct

from tests.trees.model import Machine
from tests.trees.pci import cpu_list, iommu_unit
from tests.trees.tree import Tree

EFI_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"

_VENDORS = {"intel": ("GenuineIntel", 6, 143), "amd": ("AuthenticAMD", 25, 17)}
_FLAGS = {"intel": "fpu vme msr pae cx8 apic vmx ept vpid", "amd": "fpu vme msr pae cx8 apic svm"}


def write_hardware(machine: Machine, tree: Tree) -> None:
    """Write processors, NUMA nodes, huge pages, DMI, ACPI and EFI, IOMMU."""
    _processors(machine, tree)
    _nodes(machine, tree)
    _memory(machine, tree)
    _firmware(machine, tree)
    _iommu(machine, tree)


def topology(machine: Machine) -> dict[int, tuple[int, int, tuple[int, ...]]]:
    """Return socket, core and thread siblings by CPU: like Linux, all first threads come first."""
    processor = machine.processor
    cores = processor.sockets * processor.cores_per_socket
    result = {}
    for cpu in range(cores * processor.threads_per_core):
        core = cpu % cores
        siblings = tuple(core + cores * thread for thread in range(processor.threads_per_core))
        socket, number = divmod(core, processor.cores_per_socket)
        result[cpu] = (socket, number, siblings)
    return result


def _processors(machine: Machine, tree: Tree) -> None:
    every = topology(machine)
    base = "sys/devices/system/cpu"
    text = cpu_list(list(every))
    tree.files(base, {"online": text, "possible": text, "present": text})
    stanzas = []
    for cpu, (socket, core, siblings) in every.items():
        tree.files(
            f"{base}/cpu{cpu}/topology",
            {
                "physical_package_id": str(socket),
                "core_id": str(core),
                "thread_siblings_list": cpu_list(siblings),
            },
        )
        if cpu:
            # CPU 0 has no such file, since it cannot be disabled.
            tree.files(f"{base}/cpu{cpu}", {"online": "1"})
        stanzas.append(_stanza(machine, cpu, socket, core))
    tree.file("proc/cpuinfo", "\n".join(stanzas) + "\n", 0o444)


def _stanza(machine: Machine, cpu: int, socket: int, core: int) -> str:
    processor = machine.processor
    if processor.vendor == "arm":
        # Arm has no address sizes: arch/arm64/kernel/cpuinfo.c.
        lines = {
            "processor": cpu,
            "BogoMIPS": "2000.00",
            "Features": "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics",
            "CPU implementer": "0x41",
            "CPU architecture": "8",
            "CPU variant": "0x0",
            "CPU part": "0xd4f",
            "CPU revision": "0",
        }
    else:
        vendor, family, model = _VENDORS[processor.vendor]
        lines = {
            "processor": cpu,
            "vendor_id": vendor,
            "cpu family": family,
            "model": model,
            "model name": processor.model_name,
            "physical id": socket,
            "siblings": processor.cores_per_socket * processor.threads_per_core,
            "core id": core,
            "cpu cores": processor.cores_per_socket,
            "flags": _FLAGS[processor.vendor],
            "address sizes": (
                f"{processor.physical_bits} bits physical, {processor.virtual_bits} bits virtual"
            ),
        }
    return "".join(f"{key}\t: {value}\n" for key, value in lines.items())


def _nodes(machine: Machine, tree: Tree) -> None:
    base = "sys/devices/system/node"
    text = cpu_list([node.id for node in machine.nodes])
    with_cpus = cpu_list([node.id for node in machine.nodes if node.cpus])
    tree.files(base, {"online": text, "possible": text, "has_memory": text, "has_cpu": with_cpus})
    for node in machine.nodes:
        path = f"{base}/node{node.id}"
        tree.files(
            path,
            {
                "cpulist": cpu_list(node.cpus),
                "distance": " ".join(str(distance) for distance in node.distances),
            },
        )
        huge = sum(pool.total * pool.size_kib for pool in node.pools)
        total = node.memory_mib * 1024
        default = next((pool for pool in node.pools if pool.size_kib == 2048), None)
        rows = [
            ("MemTotal:", total, " kB"),
            ("MemFree:", max(total - huge, 0) * 9 // 10, " kB"),
            ("HugePages_Total:", default.total if default else 0, ""),
            ("HugePages_Free:", default.free if default else 0, ""),
            ("HugePages_Surp:", 0, ""),
        ]
        tree.file(
            f"{path}/meminfo",
            "".join(f"Node {node.id} {name:<16}{value:8d}{unit}\n" for name, value, unit in rows),
            0o444,
        )
        for pool in node.pools:
            tree.files(
                f"{path}/hugepages/hugepages-{pool.size_kib}kB",
                {
                    "nr_hugepages": str(pool.total),
                    "free_hugepages": str(pool.free),
                    "surplus_hugepages": "0",
                },
            )
        for cpu in node.cpus:
            tree.link(f"{path}/cpu{cpu}", f"sys/devices/system/cpu/cpu{cpu}")


def _memory(machine: Machine, tree: Tree) -> None:
    total = sum(node.memory_mib for node in machine.nodes) * 1024
    pools = [pool for node in machine.nodes for pool in node.pools]
    huge = sum(pool.total * pool.size_kib for pool in pools)
    small = [pool for pool in pools if pool.size_kib == 2048]
    rows = [
        ("MemTotal:", total, " kB"),
        ("MemFree:", max(total - huge, 0) * 9 // 10, " kB"),
        ("MemAvailable:", max(total - huge, 0) * 9 // 10, " kB"),
        ("SwapTotal:", 0, " kB"),
        ("HugePages_Total:", sum(pool.total for pool in small), ""),
        ("HugePages_Free:", sum(pool.free for pool in small), ""),
        ("HugePages_Rsvd:", 0, ""),
        ("HugePages_Surp:", 0, ""),
        ("Hugepagesize:", 2048, " kB"),
        ("Hugetlb:", huge, " kB"),
    ]
    tree.file(
        "proc/meminfo",
        "".join(f"{name:<16}{value:8d}{unit}\n" for name, value, unit in rows),
        0o444,
    )
    for size in sorted({pool.size_kib for pool in pools}):
        same = [pool for pool in pools if pool.size_kib == size]
        tree.files(
            f"sys/kernel/mm/hugepages/hugepages-{size}kB",
            {
                "nr_hugepages": str(sum(pool.total for pool in same)),
                "free_hugepages": str(sum(pool.free for pool in same)),
            },
        )


def _firmware(machine: Machine, tree: Tree) -> None:
    if machine.iommu_table:
        body = {
            # Host address width, flags (bit 0: interrupt remapping), reserved: VT-d 8.1.
            "DMAR": bytes([51, int(machine.interrupt_remapping)]) + bytes(10),
            # IVinfo and reserved: AMD IOMMU specification, table 80.
            "IVRS": struct.pack("<I", 0x00203043) + bytes(8),
            # Number and offset of the nodes, reserved: IORT, table 2.
            "IORT": struct.pack("<III", 0, 48, 0),
        }[machine.iommu_table]
        table = _acpi_table(machine.iommu_table, body)
        tree.file(f"sys/firmware/acpi/tables/{machine.iommu_table}", table, 0o400)
    tree.file("sys/firmware/acpi/tables/FACP", _acpi_table("FACP", bytes(8)), 0o400)
    if machine.secure_boot is not None:
        # Attributes (boot service and runtime access), then the value: efivarfs.rst.
        value = b"\x06\x00\x00\x00" + bytes([machine.secure_boot])
        tree.file(f"sys/firmware/efi/efivars/SecureBoot-{EFI_GLOBAL}", value)
        tree.files("sys/firmware/efi", {"fw_platform_size": "64"}, 0o444)
    tree.files("sys/devices/virtual/dmi/id", dict(machine.dmi), 0o444)
    tree.link("sys/class/dmi/id", "sys/devices/virtual/dmi/id")


def _acpi_table(signature: str, body: bytes) -> bytes:
    head = struct.pack(
        "<4sIBB6s8sI4sI",
        signature.encode(), 36 + len(body), 1, 0, b"SYNTH ", b"SYNTH   ", 1, b"SYNT", 1,
    )  # fmt: skip
    table = bytearray(head + body)
    table[9] = -sum(table) & 0xFF
    return bytes(table)


def _iommu(machine: Machine, tree: Tree) -> None:
    # The directories exist even without an IOMMU in use.
    tree.directory("sys/class/iommu")
    tree.directory("sys/kernel/iommu_groups")
    if machine.iommu is None:
        return
    name, path = iommu_unit(machine)
    tree.link(f"sys/class/iommu/{name}", path)
    if machine.iommu == "dmar":
        # Bit 3 of the extended capabilities: interrupt remapping (VT-d 11.4.3).
        ecap = 0x3EF9A6F050DF if machine.interrupt_remapping else 0x3EF9A6F050D7
        tree.files(
            f"{path}/intel-iommu",
            {"cap": "19ed008c40780c66", "ecap": f"{ecap:x}", "version": "6:0"},
            0o444,
        )
    elif machine.iommu == "ivhd":
        tree.files(f"{path}/amd-iommu", {"cap": "40", "features": "25bf732fa2295afe:1d"}, 0o444)
