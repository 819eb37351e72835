# SPDX-License-Identifier: Apache-2.0
"""Kernel drivers: those that hold functions for guests, and those that could bind them earlier."""

from collections.abc import Iterator
from dataclasses import dataclass

from nova_gpu_passthrough.inventory.host import Kernel, ModuleState
from nova_gpu_passthrough.inventory.pci import PciDevice


@dataclass(frozen=True, slots=True)
class Driver:
    """A kernel module and the functions it drives, by vendor (None: any) and class prefixes."""

    module: str
    vendor_id: str | None
    classes: tuple[str, ...]
    #: Whether it drives only GPUs. Other modules are never blacklisted: a keyboard may need them.
    gpu: bool = True

    def matches(self, device: PciDevice) -> bool:
        """Whether the module can drive a function."""
        return self.vendor_id in (None, device.vendor_id) and device.class_code.startswith(
            self.classes
        )


#: From the modules' device tables (MODULE_DEVICE_TABLE), by class where they list classes, else by
#: vendor. nvidia_drm has no table, but programs load it first.
DRIVERS = (
    Driver("nouveau", "10de", ("03",)),
    Driver("nvidia", "10de", ("0300", "0302", "0680")),
    Driver("nvidia_drm", "10de", ("0300", "0302", "0680")),
    Driver("nvidiafb", "10de", ("03",)),
    Driver("amdgpu", "1002", ("03", "12")),
    Driver("radeon", "1002", ("03",)),
    Driver("i915", "8086", ("03",)),
    Driver("xe", "8086", ("03",)),
    Driver("habanalabs", "1da3", ("12",)),
    Driver("snd_hda_intel", None, ("0403",), gpu=False),
    Driver("xhci_pci", None, ("0c0330",), gpu=False),
    Driver("i2c_nvidia_gpu", "10de", ("0c80",), gpu=False),
)
_BY_MODULE = {driver.module: driver for driver in DRIVERS}
#: Modules of drivers that have another name than their module.
_MODULE_OF = {"xhci_hcd": "xhci_pci"}


def is_vfio(name: str | None) -> bool:
    """Check whether a driver or module only holds functions for guests.

    These are vfio-pci, its vendor variants such as nvgrace-gpu-vfio-pci, and pci-stub.
    """
    words = (name or "").replace("-", "_")
    return words.startswith("vfio") or "_vfio_pci" in words or words in ("pci_stub", "pcistub")


def possible_modules(device: PciDevice) -> tuple[str, ...]:
    """Return the modules that could bind a function: the usual ones and those the audit found."""
    names = [driver.module for driver in DRIVERS if driver.matches(device)]
    names += [name.replace("-", "_") for name in device.modules]
    if not names and device.driver:
        names.append(_module_of(device.driver))
    return tuple(name for name in dict.fromkeys(names) if not is_vfio(name))


def builtin_modules(device: PciDevice, kernel: Kernel) -> tuple[str, ...]:
    """Return the possible modules that are built into the kernel, so that no file affects them."""
    states = kernel.modules or {}
    return tuple(
        name for name in possible_modules(device) if states.get(name) is ModuleState.BUILTIN
    )


def drives_gpus(module: str, device: PciDevice) -> bool:
    """Check whether a module that could bind a GPU drives only GPUs."""
    known = _BY_MODULE.get(module)
    return known.gpu if known else device.class_code.startswith(("03", "12"))


def devices_of(module: str, devices: tuple[PciDevice, ...]) -> Iterator[PciDevice]:
    """Return the functions of a host that a module drives or could drive."""
    known = _BY_MODULE.get(module)
    for device in devices:
        names = {_module_of(device.driver or ""), *(m.replace("-", "_") for m in device.modules)}
        if module in names or (known is not None and known.matches(device)):
            yield device


def _module_of(driver: str) -> str:
    """Return the module that contains a driver."""
    name = driver.replace("-", "_")
    return _MODULE_OF.get(name, name)
