# SPDX-License-Identifier: Apache-2.0
"""IOMMU groups: what else a server would get, or block, with a GPU.

A group is viable for VFIO if each of its functions is held by a VFIO driver, by none, or by one
that leaves DMA alone, such as pcieport (``driver_managed_dma`` in drivers/vfio and drivers/pci;
until Linux 5.18 vfio_dev_viable; Documentation/driver-api/vfio.rst).
"""

from collections.abc import Iterator

from nova_gpu_passthrough.inventory.drivers import is_vfio
from nova_gpu_passthrough.inventory.findings import Finding, Remedy, Severity
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import Gpu, PciDevice, Role

#: Bridges to another bus, which VFIO tolerates in a group: PCI, CardBus, semi-transparent. A host
#: or ISA bridge with a driver is in the way like any function; mostly it has none.
_BRIDGE_CLASSES = ("0604", "0607", "0609")


def check(inventory: Inventory) -> Iterator[Finding]:
    """The group of every GPU, where there are groups."""
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
            "VFIO passes through whole groups; a function outside of all is not isolated.",
            "Look for a DMAR or IVRS error in the kernel's log and update the firmware.",
            Remedy.FIRMWARE,
        )
    gpus = {other.address for other in inventory.gpus}
    companions = {address for other in inventory.gpus for address in other.companions}
    own = {gpu.address, *gpu.companions}
    members = [
        member
        for member in inventory.groups[device.iommu_group]
        if member.address not in own
        and not member.class_code.startswith(_BRIDGE_CLASSES)
        and (member.role is not Role.BRIDGE or member.driver)
    ]
    if not members:
        return Finding(
            "group.own",
            Severity.OK,
            gpu.address,
            f"group {device.iommu_group}: {_names(inventory.groups[device.iommu_group])}",
            source,
        )
    foreign = [member for member in members if member.address not in gpus | companions]
    shared = [member for member in members if member.address in gpus]
    busy = [member for member in foreign if member.driver and not is_vfio(member.driver)]
    found = f"group {device.iommu_group} also holds {_names(busy or shared or members)}"
    port = _unisolated(inventory, device, members)
    fix = (
        "Switch ACS on in the firmware setup (PCIe ACS, SR-IOV or virtualisation options), or move "
        f"the card to a slot with a root port of its own{port}."
    )
    if busy:
        return Finding(
            "group.foreign",
            Severity.FAILURE,
            gpu.address,
            found,
            source,
            "A group goes to one server as a whole: while the host's driver holds another member, "
            'a server with this GPU fails to start ("group is not viable").',
            f"{fix} If the host can do without the other device, leave it to vfio-pci.",
            Remedy.HARDWARE,
        )
    if not shared:
        return Finding(
            "group.foreign_idle",
            Severity.WARNING,
            gpu.address,
            found,
            source,
            "A server gets the GPU as long as no driver of the host takes the other members, and "
            "nobody else can use them.",
            f"Bind them to vfio-pci, too, so that no driver takes them. {fix}",
            Remedy.HARDWARE,
        )
    return Finding(
        "group.shared",
        Severity.FAILURE,
        gpu.address,
        found,
        source,
        "GPUs of one group can only go to one server together; Nova gives them away one by one, "
        "and the second server fails to start.",
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


def _unisolated(inventory: Inventory, device: PciDevice, members: list[PciDevice]) -> str:
    """Names the bridge that joins the group, where it can be told."""
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


def _names(devices: tuple[PciDevice, ...] | list[PciDevice]) -> str:
    return ", ".join(
        f"{device.address} ({', '.join(filter(None, (device.role, device.driver)))})"
        for device in devices
    )
