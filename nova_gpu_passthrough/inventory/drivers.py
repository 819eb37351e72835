# SPDX-License-Identifier: Apache-2.0
"""Kernel drivers: which hold functions for guests, and which could take them before."""

from collections.abc import Iterator
from dataclasses import dataclass

from nova_gpu_passthrough.inventory.host import Kernel, ModuleState
from nova_gpu_passthrough.inventory.pci import PciDevice


@dataclass(frozen=True, slots=True)
class Driver:
    """A kernel module and what it takes, by vendor (None: any) and beginnings of the class code."""

    module: str
    vendor_id: str | None
    classes: tuple[str, ...]
    #: Whether it drives GPUs only: others are never blacklisted, since a keyboard may hang on them.
    gpu: bool = True

    def takes(self, device: PciDevice) -> bool:
        """Whether it drives such functions."""
        return self.vendor_id in (None, device.vendor_id) and device.class_code.startswith(
            self.classes
        )


#: From the modules' own tables of devices (MODULE_DEVICE_TABLE), by class where they list classes,
#: else by vendor. nvidia_drm has no table, but is what programs load first.
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
#: Drivers whose name is not their module's.
_MODULE_OF = {"xhci_hcd": "xhci_pci"}


def is_vfio(name: str | None) -> bool:
    """Whether a driver or module only holds functions for guests.

    These are vfio-pci, its vendor variants such as nvgrace-gpu-vfio-pci, and pci-stub.
    """
    words = (name or "").replace("-", "_")
    return words.startswith("vfio") or "_vfio_pci" in words or words in ("pci_stub", "pcistub")


def takers(device: PciDevice) -> tuple[str, ...]:
    """Modules that could take a function: the usual ones and those that the audit saw."""
    names = [driver.module for driver in DRIVERS if driver.takes(device)]
    names += [name.replace("-", "_") for name in device.modules]
    if not names and device.driver:
        names.append(_module_of(device.driver))
    return tuple(name for name in dict.fromkeys(names) if not is_vfio(name))


def builtin(device: PciDevice, kernel: Kernel) -> tuple[str, ...]:
    """Those of them that are part of the kernel, so are there before any file is read."""
    states = kernel.modules or {}
    return tuple(name for name in takers(device) if states.get(name) is ModuleState.BUILTIN)


def drives_gpus(module: str, device: PciDevice) -> bool:
    """Whether a module that could take a GPU drives nothing but GPUs."""
    known = _BY_MODULE.get(module)
    return known.gpu if known else device.class_code.startswith(("03", "12"))


def users(module: str, devices: tuple[PciDevice, ...]) -> Iterator[PciDevice]:
    """Functions of a host that a module drives or could drive."""
    known = _BY_MODULE.get(module)
    for device in devices:
        seen = {_module_of(device.driver or ""), *(m.replace("-", "_") for m in device.modules)}
        if module in seen or (known is not None and known.takes(device)):
            yield device


def _module_of(driver: str) -> str:
    """The module that a driver is in."""
    name = driver.replace("-", "_")
    return _MODULE_OF.get(name, name)
