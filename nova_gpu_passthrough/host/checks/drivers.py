# SPDX-License-Identifier: Apache-2.0
"""Check which driver holds a GPU and its companions, and which drivers would bind them at boot."""

from collections.abc import Iterator

from nova_gpu_passthrough.host import fix_commands
from nova_gpu_passthrough.inventory.drivers import DRIVERS, is_vfio
from nova_gpu_passthrough.inventory.findings import Finding, Remedy, Severity
from nova_gpu_passthrough.inventory.host import ModuleState
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import DeviceType, Gpu, PciDevice

_WHY_GPU = (
    "Unbinding a GPU from a driver that uses it can hang the host, and state that the driver left "
    "on the card remains."
)
_WHY_COMPANION = (
    "The function is in the GPU's IOMMU group or on its card: while the host's driver holds it, a "
    'server with the GPU fails to start ("group is not viable").'
)
_PURPOSE = "Bind it to vfio-pci at boot, before other drivers load."


def modules_that_could_bind(inventory: Inventory, device: PciDevice) -> tuple[str, ...]:
    """Return the modules that would bind a function at boot unless vfio-pci is configured."""
    if is_vfio(device.driver_override):
        # The kernel tries no other driver: driver_override in
        # Documentation/ABI/testing/sysfs-bus-pci.
        return ()
    if device.modules or inventory.kernel.release is None:
        return tuple(name for name in device.modules if not is_vfio(name))
    # Without modules.alias: the usual modules that the kernel has.
    states = inventory.kernel.modules or {}
    return tuple(
        driver.module
        for driver in DRIVERS
        if driver.matches(device) and states.get(driver.module) not in (None, ModuleState.MISSING)
    )


def check(inventory: Inventory) -> Iterator[Finding]:
    """Check the drivers of every GPU and its companions."""
    if not inventory.reports_kernel:
        return
    for gpu in inventory.gpus:
        yield _gpu(inventory, gpu)
        for companion in inventory.companions(gpu):
            yield _companion(inventory, gpu, companion)
        yield from _boot_vga(inventory, gpu)


def _gpu(inventory: Inventory, gpu: Gpu) -> Finding:
    device = inventory.device(gpu)
    source = f"/sys/bus/pci/devices/{gpu.address}/driver"
    modules = modules_that_could_bind(inventory, device)
    if is_vfio(device.driver):
        return Finding("driver.vfio", Severity.OK, gpu.address, f"held by {device.driver}", source)
    if device.driver is None:
        text = "held by no driver"
        if not modules:
            return Finding("driver.none", Severity.OK, gpu.address, text, source)
        return Finding(
            "driver.could_take",
            Severity.WARNING,
            gpu.address,
            f"{text} now; {', '.join(modules)} would bind it when loaded",
            source,
            _WHY_GPU,
            fix_commands.generate(inventory, _PURPOSE),
            Remedy.CONFIGURATION,
        )
    if device.device_type is DeviceType.PF and device.sriov_vfs:
        # A PF whose VFs are in use needs its driver: the SR-IOV check judges it.
        return Finding("driver.pf", Severity.OK, gpu.address, f"PF held by {device.driver}", source)
    return Finding(
        "driver.taken",
        Severity.FAILURE,
        gpu.address,
        f"held by {device.driver}",
        source,
        _WHY_GPU,
        fix_commands.generate(inventory, _PURPOSE),
        Remedy.CONFIGURATION,
    )


def _companion(inventory: Inventory, gpu: Gpu, device: PciDevice) -> Finding:
    name = f"companion .{device.function} ({device.role})"
    source = f"/sys/bus/pci/devices/{device.address}/driver"
    modules = modules_that_could_bind(inventory, device)
    if is_vfio(device.driver):
        return Finding(
            "companion.vfio", Severity.OK, gpu.address, f"{name} held by {device.driver}", source
        )
    if device.driver is None and not modules:
        return Finding(
            "companion.none", Severity.OK, gpu.address, f"{name} held by no driver", source
        )
    if device.driver is None:
        return Finding(
            "companion.could_take",
            Severity.WARNING,
            gpu.address,
            f"{name} held by no driver now; {', '.join(modules)} would bind it when loaded",
            source,
            _WHY_COMPANION,
            fix_commands.generate(inventory, _PURPOSE),
            Remedy.CONFIGURATION,
        )
    return Finding(
        "companion.taken",
        Severity.FAILURE,
        gpu.address,
        f"{name} held by {device.driver}",
        source,
        _WHY_COMPANION,
        fix_commands.generate(inventory, _PURPOSE),
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
            "The host's console uses its framebuffer (a BAR that VFIO then cannot map), and its "
            "ROM has already been executed, which some guest drivers do not accept.",
            "Make the management controller's display primary in the firmware setup.",
            Remedy.FIRMWARE,
        )
