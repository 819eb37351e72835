# SPDX-License-Identifier: Apache-2.0
"""Check IOMMU groups: other functions that go to the same server as a GPU, or block it.

A group is viable for VFIO if each of its functions is held by a VFIO driver, by no driver, or by
one that does no DMA, such as pcieport (``driver_managed_dma`` in drivers/vfio and drivers/pci;
until Linux 5.18 vfio_dev_viable; Documentation/driver-api/vfio.rst).
"""

from collections.abc import Iterator

from nova_gpu_passthrough.inventory.drivers import is_vfio
from nova_gpu_passthrough.inventory.findings import Finding, Remedy, Severity
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import Gpu, PciDevice, Role
from nova_gpu_passthrough.inventory.shell_fix import as_root, comment, script

#: Bridges to another bus, which VFIO accepts in a group: PCI, CardBus, semi-transparent. A host or
#: ISA bridge with a driver blocks the group like any function; most have no driver.
_BRIDGE_CLASSES = ("0604", "0607", "0609")


def check(inventory: Inventory) -> Iterator[Finding]:
    """Check the IOMMU group of every GPU, if the host has groups."""
    if inventory.iommu.kind is None:
        return
    for gpu in inventory.gpus:
        yield _group(inventory, gpu)
        yield from _companions(inventory, gpu)


def _group(inventory: Inventory, gpu: Gpu) -> Finding:
    device = inventory.device(gpu)
    source = f"/sys/bus/pci/devices/{gpu.address}/iommu_group"
    if device.iommu_group is None:
        return Finding(
            "group.none",
            Severity.FAILURE,
            gpu.address,
            "the function is in no IOMMU group",
            source,
            "VFIO passes through whole groups; a function without a group is not isolated.",
            as_root(
                inventory.host,
                "dmesg | grep -e DMAR -e AMD-Vi -e IVRS",
                then="Update the firmware if this shows an error.",
            ),
            Remedy.FIRMWARE,
        )
    gpus = {other.address for other in inventory.gpus}
    companions = {address for other in inventory.gpus for address in other.companions}
    own = {gpu.address, *gpu.companions}
    members = [
        member
        for member in inventory.iommu_groups[device.iommu_group]
        if member.address not in own
        and not member.class_code.startswith(_BRIDGE_CLASSES)
        and (member.role is not Role.BRIDGE or member.driver)
    ]
    if not members:
        return Finding(
            "group.own",
            Severity.OK,
            gpu.address,
            f"group {device.iommu_group}: {_names(inventory.iommu_groups[device.iommu_group])}",
            source,
        )
    foreign = [member for member in members if member.address not in gpus | companions]
    shared = [member for member in members if member.address in gpus]
    busy = [member for member in foreign if member.driver and not is_vfio(member.driver)]
    text = f"group {device.iommu_group} also contains {_names(busy or shared or members)}"
    port = _common_bridge(inventory, device, members)
    fix = (
        "Enable ACS in the firmware setup (PCIe ACS, SR-IOV or virtualisation options), or move "
        f"the card to a slot with its own root port{port}."
    )
    if busy:
        return Finding(
            "group.foreign",
            Severity.FAILURE,
            gpu.address,
            text,
            source,
            "A whole group belongs to one server: while a host driver holds another member, "
            'a server with this GPU fails to start ("group is not viable").',
            f"{fix} If the host does not need the other devices, bind them to vfio-pci.",
            Remedy.HARDWARE,
        )
    if not shared:
        return Finding(
            "group.foreign_idle",
            Severity.WARNING,
            gpu.address,
            text,
            source,
            "A server can use the GPU as long as no host driver binds the other members, and "
            "nothing else can use them.",
            script(_bind(inventory.host, members), comment(f"For good: {fix}")),
            Remedy.HARDWARE,
        )
    return Finding(
        "group.shared",
        Severity.FAILURE,
        gpu.address,
        text,
        source,
        "GPUs of one group can only be passed to one server together; Nova allocates them one by "
        "one, and the second server fails to start.",
        fix,
        Remedy.HARDWARE,
    )


def _companions(inventory: Inventory, gpu: Gpu) -> Iterator[Finding]:
    device = inventory.device(gpu)
    for companion in inventory.companions(gpu):
        if companion.iommu_group != device.iommu_group:
            yield Finding(
                "group.companion_apart",
                Severity.OK,
                gpu.address,
                f"companion {companion.address} ({companion.role}) is in group "
                f"{companion.iommu_group}, not in the GPU's",
                f"/sys/bus/pci/devices/{companion.address}/iommu_group",
            )


def _common_bridge(inventory: Inventory, device: PciDevice, members: list[PciDevice]) -> str:
    """Return text that names the bridge above all members, or an empty text if it is unknown."""
    above = {bridge for member in members for bridge in member.bridges}
    for address in reversed(device.bridges):
        if address in above:
            bridge = inventory.by_address.get(address)
            if bridge is None:
                break
            name = f"{address} {bridge.name or bridge.ids}"
            state = "" if bridge.acs is None else f", ACS {' '.join(bridge.acs) or 'off'}"
            return f" (they meet below {name}{state})"
    return ""


def _bind(host: str, devices: list[PciDevice]) -> str:
    """Return a script that lets vfio-pci hold devices until the next boot."""
    commands = ["modprobe vfio-pci"]
    for device in devices:
        path = f"/sys/bus/pci/devices/{device.address}/driver_override"
        commands.append(f"echo vfio-pci > {path}")
        commands.append(f"echo {device.address} > /sys/bus/pci/drivers_probe")
    return as_root(host, *commands)


def _names(devices: tuple[PciDevice, ...] | list[PciDevice]) -> str:
    return ", ".join(
        f"{device.address} ({', '.join(filter(None, (device.role, device.driver)))})"
        for device in devices
    )
