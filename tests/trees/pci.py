# SPDX-License-Identifier: Apache-2.0
"""Write the PCI files of Linux: /sys/devices/pci*, /sys/bus/pci and the classes of devices.

Formats: drivers/pci/pci-sysfs.c, pci.c (reset methods), iov.c and Documentation/ABI/testing/
sysfs-bus-pci of Linux; the layout was compared with recorded trees of hwloc. Left out are
``resourceN`` and ``rom``, which map the device, and the MSI directories.
"""

from tests.trees import resources
from tests.trees.config_space import buses, config_space
from tests.trees.device import Device, PortType
from tests.trees.model import Machine, PciLocation
from tests.trees.tree import Tree

_PORTS = (PortType.ROOT_PORT, PortType.UPSTREAM, PortType.DOWNSTREAM)


def cpu_list(cpus: tuple[int, ...] | list[int]) -> str:
    """Return a set of CPUs as the kernel prints it: 0-3,8."""
    spans: list[list[int]] = []
    for cpu in sorted(cpus):
        if spans and cpu == spans[-1][1] + 1:
            spans[-1][1] = cpu
        else:
            spans.append([cpu, cpu])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def speed(value: float) -> str:
    """Return a speed as pci_speed_string() prints it."""
    return f"{value:.1f} GT/s PCIe" if value else "Unknown"


def modalias(device: Device) -> str:
    """Return the modalias of a device, which modules.alias matches."""
    return (
        f"pci:v{device.vendor:08X}d{device.device:08X}"
        f"sv{device.subsystem[0]:08X}sd{device.subsystem[1]:08X}"
        f"bc{device.class_code >> 16:02X}sc{device.class_code >> 8 & 0xFF:02X}"
        f"i{device.class_code & 0xFF:02X}"
    )


def write_pci(
    machine: Machine, tree: Tree, groups: dict[str, int], full_config: bool = False
) -> None:
    """Write every PCI function, bus, slot, driver and IOMMU group."""
    rows = resources.assign(machine)
    cpus = {node.id: cpu_list(node.cpus) for node in machine.nodes}
    cpus[-1] = cpu_list([cpu for node in machine.nodes for cpu in node.cpus])
    for directory in ("devices", "drivers", "slots"):
        tree.directory(f"sys/bus/pci/{directory}")
    for bridge in machine.host_bridges:
        tree.file(f"sys/devices/{bridge.name}/uevent", "")
        tree.files(f"sys/devices/{bridge.name}/power", {"control": "auto"})
        bus = f"{bridge.domain:04x}:{bridge.bus:02x}"
        _bus(tree, f"sys/devices/{bridge.name}", bus, cpus[bridge.node])
    paths: dict[str, str] = {}
    _, unit = iommu_unit(machine)
    for location in machine.locations():
        address = location.device.address
        paths[address] = location.path
        _attributes(tree, location, rows[address], cpus[location.numa_node], full_config)
        _links(tree, location, groups.get(address), unit)
        _children(tree, location)
    _virtual_functions(machine, tree, paths)
    _hive(machine, tree, paths)
    for address, number in groups.items():
        group = f"sys/kernel/iommu_groups/{number}"
        tree.link(f"{group}/devices/{address}", paths[address])
    for number in set(groups.values()):
        reserved = "0x00000000fee00000 0x00000000feefffff msi"
        content = {"type": machine.iommu_group_type, "reserved_regions": reserved}
        tree.files(f"sys/kernel/iommu_groups/{number}", content)


def _bus(tree: Tree, above: str, bus: str, cpus: str) -> None:
    path = f"{above}/pci_bus/{bus}"
    tree.files(path, {"cpulistaffinity": cpus})
    tree.file(f"{path}/uevent", "")
    tree.link(f"sys/class/pci_bus/{bus}", path)


def _attributes(
    tree: Tree, location: PciLocation, rows: list[resources.Row], cpus: str, full_config: bool
) -> None:
    device, path = location.device, location.path
    alias = modalias(device)
    values = {
        "class": f"0x{device.class_code:06x}",
        "vendor": f"0x{device.vendor:04x}",
        "device": f"0x{device.device:04x}",
        "subsystem_vendor": f"0x{device.subsystem[0]:04x}",
        "subsystem_device": f"0x{device.subsystem[1]:04x}",
        "revision": f"0x{device.revision:02x}",
        "modalias": alias,
        "numa_node": str(location.numa_node),
        "local_cpulist": cpus,
        "enable": str(int(device.driver is not None)),
        "irq": "0",
        "ari_enabled": str(int(device.sriov is not None)),
        "broken_parity_status": "0",
        "dma_mask_bits": "32",
        "consistent_dma_mask_bits": "32",
        "msi_bus": "1",
        "power_state": device.power_state,
        "d3cold_allowed": str(int(device.d3cold_allowed)),
        "driver_override": device.driver_override or "(null)",
    }
    if device.link is not None:
        values |= {
            "current_link_speed": speed(device.link.speed),
            "current_link_width": str(device.link.width),
            "max_link_speed": speed(device.link.max_speed),
            "max_link_width": str(device.link.max_width),
        }
    if device.reset_methods:
        values["reset_method"] = " ".join(device.reset_methods)
        tree.file(f"{path}/reset", "", 0o200)
    if device.is_vga:
        values["boot_vga"] = str(int(device.boot_vga))
    if device.sriov is not None:
        values |= {
            "sriov_totalvfs": str(device.sriov.total),
            "sriov_numvfs": str(device.sriov.enabled),
            "sriov_offset": str(device.sriov.offset),
            "sriov_stride": str(device.sriov.stride),
            "sriov_vf_device": f"{device.sriov.device:x}",
            "sriov_drivers_autoprobe": "1",
        }
    if device.is_bridge:
        secondary, subordinate = buses(device)
        values["secondary_bus_number"] = str(secondary)
        values["subordinate_bus_number"] = str(subordinate)
    for bar in device.bars:
        if bar.sizes:
            offered = sum(size >> 20 for size in bar.sizes)
            values[f"resource{bar.index}_resize"] = f"{offered:016x}"
    tree.files(path, values)
    tree.file(f"{path}/resource", resources.text(rows), 0o444)
    tree.file(f"{path}/config", config_space(location, rows, full_config))
    lines = [f"DRIVER={device.driver}"] if device.driver else []
    lines += [
        f"PCI_CLASS={device.class_code:X}",
        f"PCI_ID={device.vendor:04X}:{device.device:04X}",
        f"PCI_SUBSYS_ID={device.subsystem[0]:04X}:{device.subsystem[1]:04X}",
        f"PCI_SLOT_NAME={device.address}",
        f"MODALIAS={alias}",
    ]
    tree.file(f"{path}/uevent", "".join(f"{line}\n" for line in lines))
    tree.files(
        f"{path}/power",
        {"control": device.power_control, "runtime_status": device.runtime_status},
    )
    for name in ("remove", "rescan"):
        tree.file(f"{path}/{name}", "", 0o200)


def iommu_unit(machine: Machine) -> tuple[str, str]:
    """Return the name of the first IOMMU and its directory under /sys/devices."""
    if machine.iommu == "ivhd":
        # The parent of an AMD IOMMU is its PCI function (init.c, iommu_init_pci).
        for location in machine.locations():
            if location.device.class_code >> 8 == 0x0806:
                return "ivhd0", f"{location.path}/iommu/ivhd0"
        return "ivhd0", "sys/devices/virtual/iommu/ivhd0"
    if machine.iommu == "smmu3":
        name = "smmu3.0x0000000040200000"
        return name, f"sys/devices/platform/arm-smmu-v3.0.auto/iommu/{name}"
    return "dmar0", "sys/devices/virtual/iommu/dmar0"


def _links(tree: Tree, location: PciLocation, group: int | None, unit: str) -> None:
    device, path = location.device, location.path
    tree.link(f"sys/bus/pci/devices/{device.address}", path)
    tree.link(f"{path}/subsystem", "sys/bus/pci")
    if device.driver:
        driver = f"sys/bus/pci/drivers/{device.driver}"
        tree.link(f"{path}/driver", driver)
        tree.link(f"{driver}/{device.address}", path)
    if group is not None:
        tree.link(f"{path}/iommu_group", f"sys/kernel/iommu_groups/{group}")
        tree.link(f"{path}/iommu", unit)
        tree.link(f"{unit}/devices/{device.address}", path)
    if device.slot is not None and device.address.endswith(".0"):
        link = device.link
        tree.files(
            f"sys/bus/pci/slots/{device.slot}",
            {
                "address": device.address.rpartition(".")[0],
                "cur_bus_speed": speed(link.speed if link else 0),
                "max_bus_speed": speed(link.max_speed if link else 0),
            },
        )


def _children(tree: Tree, location: PciLocation) -> None:
    """Write the directories that the device's driver creates."""
    device, path = location.device, location.path
    if device.is_bridge and device.children:
        _bus(tree, path, device.children[0].bus, "")
    if device.driver == "nvidia":
        tree.files(
            f"proc/driver/nvidia/gpus/{device.address}",
            {"information": f"Bus Location: \t {device.address}"},
        )
    for kind, name in (("net", device.net), ("infiniband", device.infiniband)):
        if name is None or device.driver != "mlx5_core":
            continue
        tree.link(f"{path}/{kind}/{name}/device", path)
        tree.link(f"sys/class/{kind}/{name}", f"{path}/{kind}/{name}")
        tree.link(f"{path}/{kind}/{name}/subsystem", f"sys/class/{kind}")
    if device.net is not None and device.driver == "mlx5_core":
        mac = f"02:00:00:00:{device.routing_id >> 8:02x}:{device.routing_id & 0xFF:02x}"
        tree.files(f"{path}/net/{device.net}", {"address": mac, "operstate": "up"})
    if device.infiniband is not None and device.driver == "mlx5_core":
        port = {"state": "4: ACTIVE", "link_layer": "InfiniBand", "rate": "400 Gb/sec (4X NDR)"}
        tree.files(f"{path}/infiniband/{device.infiniband}/ports/1", port)
        guid = f"0000:0000:0000:{device.routing_id:04x}"
        tree.files(f"{path}/infiniband/{device.infiniband}", {"node_guid": guid})
    if device.nvme is not None and device.driver == "nvme":
        tree.link(f"{path}/nvme/{device.nvme}/device", path)
        tree.link(f"sys/class/nvme/{device.nvme}", f"{path}/nvme/{device.nvme}")
    if device.hwmon and device.driver == "amdgpu":
        name = f"hwmon{device.routing_id >> 8}"
        tree.files(f"{path}/hwmon/{name}", dict(device.hwmon))
        tree.link(f"{path}/hwmon/{name}/device", path)
        tree.link(f"sys/class/hwmon/{name}", f"{path}/hwmon/{name}")


def _virtual_functions(machine: Machine, tree: Tree, paths: dict[str, str]) -> None:
    for location in machine.locations():
        for number, virtual in enumerate(location.device.virtual_functions()):
            tree.link(f"{location.path}/virtfn{number}", paths[virtual.address])
            tree.link(f"{paths[virtual.address]}/physfn", location.path)


def _hive(machine: Machine, tree: Tree, paths: dict[str, str]) -> None:
    """Write hives like amdgpu_xgmi.c: the first GPU has the directory, the others link to it."""
    heads: dict[int, list[Device]] = {}
    for device in machine.devices().values():
        if device.xgmi is not None and device.driver == "amdgpu":
            heads.setdefault(device.xgmi.hive_id, []).append(device)
    for hive_id, members in heads.items():
        hive = f"{paths[members[0].address]}/xgmi_hive_info"
        tree.files(hive, {"xgmi_hive_id": str(hive_id)}, 0o444)
        for number, device in enumerate(members, start=1):
            assert device.xgmi is not None
            path = paths[device.address]
            others = [one is not device for one in members]
            values = {
                "xgmi_device_id": str(device.xgmi.device_id),
                "xgmi_physical_id": str(device.xgmi.physical_id),
                "xgmi_error": "0",
                # One hop over xGMI 3 (psp_xgmi_node_info.num_hops: bits 7:6 the kind of link).
                "xgmi_num_hops": "".join("41 " if other else "00 " for other in others),
                "xgmi_num_links": "".join("01 " if other else "00 " for other in others),
            }
            tree.files(path, values, 0o444)
            tree.link(f"{hive}/node{number}", path)
            if number > 1:
                tree.link(f"{path}/xgmi_hive_info", hive)
