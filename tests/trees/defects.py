# SPDX-License-Identifier: Apache-2.0
"""Defects of real servers, one function each.

The functions of the first part return a changed machine, to be written; those of the second part
change a written tree. An address is domain:bus:device.function, ``root`` the tree's root directory.
"""

import dataclasses
import os
import shutil
from pathlib import Path

from tests.trees.device import Device, Link
from tests.trees.model import Machine, Node, Pool

# Machines.


def iommu_disabled_in_firmware(machine: Machine) -> Machine:
    """Remove IOMMU and ACPI table: VT-d or AMD-Vi is disabled in the firmware's setup."""
    return dataclasses.replace(machine, iommu=None, iommu_table=None)


def iommu_off(machine: Machine, command_line: str = "") -> Machine:
    """Disable the IOMMU in the kernel, not in the firmware."""
    return dataclasses.replace(machine, iommu=None, command_line=command_line)


def no_interrupt_remapping(machine: Machine) -> Machine:
    """Disable interrupt remapping: VFIO requires allow_unsafe_interrupts."""
    return dataclasses.replace(machine, interrupt_remapping=False)


def no_acs(machine: Machine, address: str) -> Machine:
    """Disable ACS at all ports above a function: all devices behind its root port are one group."""
    location = machine.location(address)
    root = location.parents[-1]
    ports = [port.address for port in _below(root) if port.is_bridge]
    return machine.alter(root.address, *ports, acs=False)


def degraded(
    machine: Machine, address: str, speed: float | None = None, width: int | None = None
) -> Machine:
    """Lower the current speed or width of a link at both ends.

    :param speed: GT/s; None: unchanged
    """
    location = machine.location(address)
    for device in (location.device, *location.parents[:1]):
        if device.link is None:
            raise ValueError(f"{device.address} has no link.")
        link = dataclasses.replace(
            device.link, speed=speed or device.link.speed, width=width or device.link.width
        )
        machine = machine.alter(device.address, link=link)
    return machine


def slower_slot(machine: Machine, address: str, speed: float, width: int) -> Machine:
    """Put a card into a slot with a lower maximum; the link itself has no defect."""
    machine = degraded(machine, address, speed, width)
    port = machine.location(address).parents[0]
    return machine.alter(port.address, link=Link(speed, width, speed, width))


def no_numa_node(machine: Machine, *addresses: str) -> Machine:
    """Remove the NUMA node (-1) of these devices; without addresses, of all devices."""
    if addresses:
        return machine.alter(*addresses, numa_node=-1)
    bridges = tuple(dataclasses.replace(one, node=-1) for one in machine.host_bridges)
    return dataclasses.replace(machine, host_bridges=bridges)


def bound(machine: Machine, driver: str | None, *addresses: str) -> Machine:
    """Bind functions to a driver and load its module; without addresses, all GPUs."""
    chosen = addresses or tuple(gpu.address for gpu in machine.gpus())
    machine = machine.alter(*chosen, driver=driver)
    module = (driver or "").replace("-", "_")
    if module and module not in machine.modules:
        machine = dataclasses.replace(machine, modules=(*machine.modules, module))
    return machine


def without_modules(machine: Machine, *modules: str) -> Machine:
    """Unload modules; without names, those of VFIO."""
    kept = tuple(
        name
        for name in machine.modules
        if (name not in modules if modules else not name.startswith("vfio"))
    )
    return dataclasses.replace(machine, modules=kept)


def no_reset(machine: Machine, *addresses: str) -> Machine:
    """Remove all reset methods: the file does not exist."""
    return machine.alter(*addresses, reset_methods=())


def boot_vga(machine: Machine, address: str) -> Machine:
    """Make a GPU the firmware's console instead of the BMC's graphics."""
    others = [device.address for device in machine.devices().values() if device.boot_vga]
    machine = machine.alter(*others, boot_vga=False)
    return machine.alter(address, boot_vga=True, class_code=0x030000)


def virtual_functions(machine: Machine, address: str, count: int) -> Machine:
    """Enable virtual functions.

    :raises ValueError: if the function has fewer
    """
    sriov = machine.devices()[address].sriov
    if sriov is None or count > sriov.total:
        raise ValueError(f"{address} has not {count} virtual functions.")
    return machine.alter(address, sriov=dataclasses.replace(sriov, enabled=count))


def no_sriov(machine: Machine, *addresses: str) -> Machine:
    """Remove the SR-IOV capability: Nova reports type-PCI instead of type-PF."""
    return machine.alter(*addresses, sriov=None)


def small_bars(machine: Machine, address: str, size: int = 256 << 20) -> Machine:
    """Shrink the largest BAR to its size without "Above 4G decoding" or a similar option."""
    device = machine.devices()[address]
    largest = max(device.bars, key=lambda bar: bar.size)
    bars = tuple(
        dataclasses.replace(bar, size=size) if bar is largest else bar for bar in device.bars
    )
    return machine.alter(address, bars=bars)


def physical_bits(machine: Machine, bits: int) -> Machine:
    """Reduce the physical address bits; BARs that do not fit get no address."""
    processor = dataclasses.replace(machine.processor, physical_bits=bits)
    return dataclasses.replace(machine, processor=processor)


def lockdown(machine: Machine, level: str = "integrity") -> Machine:
    """Enable secure boot and lock down the kernel."""
    return dataclasses.replace(machine, secure_boot=True, lockdown=level)


def in_d3cold(machine: Machine, *addresses: str) -> Machine:
    """Put functions into D3cold, without driver."""
    return machine.alter(
        *addresses,
        driver=None,
        power_state="D3cold",
        power_control="auto",
        runtime_status="suspended",
    )


def overridden(machine: Machine, address: str, driver: str) -> Machine:
    """Set ``driver_override`` without binding the driver."""
    return machine.alter(address, driver_override=driver)


def hugepages(machine: Machine, node: int, size_kib: int, total: int, free: int) -> Machine:
    """Set the huge pages of one node."""

    def changed(one: Node) -> Node:
        if one.id != node:
            return one
        others = tuple(pool for pool in one.pools if pool.size_kib != size_kib)
        return dataclasses.replace(one, pools=(*others, Pool(size_kib, total, free)))

    return dataclasses.replace(machine, nodes=tuple(changed(one) for one in machine.nodes))


def removed(machine: Machine, address: str) -> Machine:
    """Remove a device: it failed before the kernel started, or is not fitted."""

    def without(devices: tuple[Device, ...]) -> tuple[Device, ...]:
        return tuple(
            dataclasses.replace(device, children=without(device.children))
            for device in devices
            if device.address != address
        )

    bridges = tuple(
        dataclasses.replace(one, devices=without(one.devices)) for one in machine.host_bridges
    )
    return dataclasses.replace(machine, host_bridges=bridges)


def added(machine: Machine, port: str, device: Device) -> Machine:
    """Add a device behind a port, for instance one that shares a GPU's group."""
    children = machine.devices()[port].children
    return machine.alter(port, children=(*children, device))


def _below(device: Device) -> list[Device]:
    return [one for child in device.children for one in (child, *_below(child))]


# Trees.


def device_directory(root: Path | str, address: str) -> Path:
    """Return the real directory of a function."""
    return Path(os.path.realpath(Path(root, "sys/bus/pci/devices", address)))


def vanished(root: Path | str, address: str) -> None:
    """Remove the directory of a device, so that the links to it dangle."""
    shutil.rmtree(device_directory(root, address))


def dead(root: Path | str, address: str) -> None:
    """Make a device that does not respond: all ones in ``config``, the link unknown."""
    directory = device_directory(root, address)
    config = directory / "config"
    config.write_bytes(b"\xff" * len(config.read_bytes()))
    for name, content in (
        ("current_link_speed", "Unknown\n"),
        ("current_link_width", "63\n"),
        ("revision", "0xff\n"),
    ):
        if (directory / name).exists():
            (directory / name).write_text(content)


def missing(root: Path | str, path: str) -> None:
    """Remove a file, link or directory."""
    target = Path(root, path)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink()


def unreadable(root: Path | str, path: str) -> None:
    """Make reading a file fail with an OSError.

    Permission denied; for root, who may read all files, too many levels of symbolic links.
    """
    target = Path(root, path)
    target.chmod(0)
    if os.access(target, os.R_OK):
        looping(root, path)


def looping(root: Path | str, path: str) -> None:
    """Replace a file with a link to itself."""
    target = Path(root, path)
    target.unlink(missing_ok=True)
    target.symlink_to(target.name)


def directory_instead(root: Path | str, path: str) -> None:
    """Replace a file with a directory."""
    target = Path(root, path)
    target.unlink(missing_ok=True)
    target.mkdir()


def garbled(root: Path | str, path: str, content: bytes = b"\x00\xff\xfe\x80") -> None:
    """Replace the content of a file with other bytes."""
    Path(root, path).write_bytes(content)


def truncated(root: Path | str, path: str, length: int = 0) -> None:
    """Truncate a file to its first bytes."""
    os.truncate(Path(root, path), length)
