# SPDX-License-Identifier: Apache-2.0
"""Which driver holds a GPU and its companions now, and which would take them at boot."""

from collections.abc import Iterator

from nova_gpu_passthrough.inventory.drivers import DRIVERS, is_vfio
from nova_gpu_passthrough.inventory.findings import Finding, Remedy, Severity
from nova_gpu_passthrough.inventory.host import ModuleState
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import DeviceType, Gpu, PciDevice

_WHY_GPU = (
    "Taking a GPU away from a driver that uses it can hang the host, and what the driver left on "
    "the card stays there."
)
_WHY_COMPANION = (
    "The function is in the GPU's IOMMU group or on its card: while the host's driver holds it, a "
    'server with the GPU fails to start ("group is not viable").'
)
_FIX = (
    "Bind it to vfio-pci at boot, before other drivers load: nova-gpu config generate writes "
    "modprobe.d and initramfs files."
)


def could_take(inventory: Inventory, device: PciDevice) -> tuple[str, ...]:
    """Modules that would take a function at boot before vfio-pci is told to."""
    if is_vfio(device.driver_override):
        # No other driver is asked (driver_override in Documentation/ABI/testing/sysfs-bus-pci).
        return ()
    if device.modules or inventory.kernel.release is None:
        return tuple(name for name in device.modules if not is_vfio(name))
    # Without modules.alias: the usual ones, where the kernel is known to have them.
    states = inventory.kernel.modules or {}
    return tuple(
        driver.module
        for driver in DRIVERS
        if driver.takes(device) and states.get(driver.module) not in (None, ModuleState.MISSING)
    )


def check(inventory: Inventory) -> Iterator[Finding]:
    """Drivers of every GPU and its companions."""
    if not inventory.tells_kernel:
        return
    for gpu in inventory.gpus:
        yield _gpu(inventory, gpu)
        for companion in inventory.companions(gpu):
            yield _companion(inventory, gpu, companion)
        yield from _boot_vga(inventory, gpu)


def _gpu(inventory: Inventory, gpu: Gpu) -> Finding:
    device = inventory.device(gpu)
    source = f"/sys/bus/pci/devices/{gpu.address}/driver"
    takers = could_take(inventory, device)
    if is_vfio(device.driver):
        return Finding("driver.vfio", Severity.OK, gpu.address, f"held by {device.driver}", source)
    if device.driver is None:
        found = "held by no driver"
        if not takers:
            return Finding("driver.none", Severity.OK, gpu.address, found, source)
        return Finding(
            "driver.could_take",
            Severity.WARNING,
            gpu.address,
            f"{found} now; {', '.join(takers)} would take it when loaded",
            source,
            _WHY_GPU,
            _FIX,
            Remedy.CONFIGURATION,
        )
    if device.device_type is DeviceType.PF and device.sriov_vfs:
        # A PF whose VFs are given away needs its driver: the SR-IOV check has the say.
        return Finding("driver.pf", Severity.OK, gpu.address, f"PF held by {device.driver}", source)
    return Finding(
        "driver.taken",
        Severity.FAILURE,
        gpu.address,
        f"held by {device.driver}",
        source,
        _WHY_GPU,
        _FIX,
        Remedy.CONFIGURATION,
    )


def _companion(inventory: Inventory, gpu: Gpu, device: PciDevice) -> Finding:
    name = f"companion .{device.function} ({device.role})"
    source = f"/sys/bus/pci/devices/{device.address}/driver"
    takers = could_take(inventory, device)
    if is_vfio(device.driver):
        return Finding(
            "companion.vfio", Severity.OK, gpu.address, f"{name} held by {device.driver}", source
        )
    if device.driver is None and not takers:
        return Finding(
            "companion.none", Severity.OK, gpu.address, f"{name} held by no driver", source
        )
    if device.driver is None:
        return Finding(
            "companion.could_take",
            Severity.WARNING,
            gpu.address,
            f"{name} held by no driver now; {', '.join(takers)} would take it when loaded",
            source,
            _WHY_COMPANION,
            _FIX,
            Remedy.CONFIGURATION,
        )
    return Finding(
        "companion.taken",
        Severity.FAILURE,
        gpu.address,
        f"{name} held by {device.driver}",
        source,
        _WHY_COMPANION,
        _FIX,
        Remedy.CONFIGURATION,
    )


def _boot_vga(inventory: Inventory, gpu: Gpu) -> Iterator[Finding]:
    if inventory.device(gpu).boot_vga:
        yield Finding(
            "boot_vga",
            Severity.WARNING,
            gpu.address,
            "the firmware's primary display",
            f"/sys/bus/pci/devices/{gpu.address}/boot_vga",
            "The host's console holds its framebuffer (a BAR that VFIO then cannot map), and its "
            "ROM has been run already, which some guest drivers refuse.",
            "Make the management controller's display primary in the firmware setup.",
            Remedy.FIRMWARE,
        )
