# SPDX-License-Identifier: Apache-2.0
"""Bind the passed-through functions of a host to vfio-pci at boot, by ids or by address.

By ids (``options vfio-pci ids=``), if every function of the host with these ids is passed through:
vfio-pci binds them as soon as it is loaded, and a softdep loads it before other drivers of these
functions. The binding remains valid if a card moves to another slot.

By address, if a function with the same ids stays with the host, if another driver of the function
is part of the kernel, and for VFs, which may have the ids of their PF: ``driver_override`` in sysfs
(Documentation/ABI/testing/sysfs-bus-pci) is set in the initramfs before udev loads drivers, and the
function is unbound from a driver that has already bound it. The host needs no package for this,
unlike driverctl, whose service runs after the drivers are loaded. A function with other ids than in
the inventory is not changed, so a disk that gets the address of a GPU stays with the host.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from nova_gpu_passthrough.fleet.offers import HostOffer
from nova_gpu_passthrough.generate.service_options import comment
from nova_gpu_passthrough.inventory import drivers
from nova_gpu_passthrough.inventory.host import ModuleState
from nova_gpu_passthrough.inventory.pci import DeviceType, PciDevice


@dataclass(frozen=True)
class Binding:
    """How the kernel of one host binds the passed-through functions."""

    #: Addresses by ``vendor:product``, of functions that are bound by ids.
    ids: Mapping[str, tuple[str, ...]]
    #: Reasons by address, of functions that are bound by address.
    overrides: Mapping[str, str]
    devices: tuple[PciDevice, ...]
    #: Modules that are loaded after vfio-pci.
    softdeps: tuple[str, ...]
    #: Modules that are not loaded, because all their functions are passed through.
    blacklist: tuple[str, ...]
    #: Whether vfio-pci is part of the kernel, so that it reads its ids only from the command line.
    builtin_vfio: bool

    @property
    def ids_text(self) -> str:
        """Return the value of vfio-pci's parameter ``ids``."""
        return ",".join(self.ids)

    @functools.cached_property
    def override_devices(self) -> tuple[PciDevice, ...]:
        """Return the functions that are bound by address."""
        return tuple(device for device in self.devices if device.address in self.overrides)


def make(offer: HostOffer) -> Binding:
    """Decide how to bind the offered functions of a host."""
    inventory = offer.inventory
    passed = {offered.address: offered.device for offered in offer.bound}
    stays: dict[str, str] = {}
    for device in inventory.devices:
        if device.address not in passed:
            stays.setdefault(device.ids, device.address)
    ids: dict[str, list[str]] = {}
    overrides: dict[str, str] = {}
    for address, device in passed.items():
        builtin = drivers.builtin_modules(device, inventory.kernel)
        if device.device_type is DeviceType.VF:
            overrides[address] = f"a VF of {device.physical_function}"
        elif device.ids in stays:
            overrides[address] = f"{stays[device.ids]} has the same ids and stays with the host"
        elif builtin:
            overrides[address] = f"{', '.join(builtin)} is part of the kernel"
        else:
            ids.setdefault(device.ids, []).append(address)
    modules = {
        module: device for device in passed.values() for module in drivers.possible_modules(device)
    }
    # libvirt rebinds nvgrace GPUs and NICs, so the host keeps their drivers.
    blacklist = [
        module
        for module, device in modules.items()
        if drivers.drives_gpus(module, device)
        and all(user.address in passed for user in drivers.devices_of(module, inventory.devices))
    ]
    states = inventory.kernel.modules or {}
    return Binding(
        {key: tuple(addresses) for key, addresses in sorted(ids.items())},
        overrides,
        tuple(passed.values()),
        tuple(sorted(modules)),
        tuple(sorted(blacklist)),
        states.get("vfio_pci") is ModuleState.BUILTIN,
    )


UDEV_PATH = "etc/udev/rules.d/90-gpu-passthrough.rules"


def udev_rules(binding: Binding) -> str:
    """Render the udev rules: one for each function, and another one if it is bound by address."""
    text = comment("Idle devices do not enter D3cold: some do not recover from it.")
    for device in binding.devices:
        if device.physical_function is None:
            text += f'{_match(device)}, TEST=="d3cold_allowed", ATTR{{d3cold_allowed}}="0"\n'
    if binding.overrides:
        text += "\n" + comment("Bind functions by address that appear after boot.")
        for device in binding.override_devices:
            text += f'{_match(device)}, ATTR{{driver_override}}="vfio-pci"\n'
    return text


def _match(device: PciDevice) -> str:
    return (
        f'ACTION=="add", SUBSYSTEM=="pci", KERNEL=="{device.address}", '
        f'ATTR{{vendor}}=="0x{device.vendor_id}", ATTR{{device}}=="0x{device.product_id}"'
    )


MODPROBE_PATH = "etc/modprobe.d/gpu-passthrough.conf"
LOAD_PATH = "etc/modules-load.d/gpu-passthrough.conf"


def modprobe_options(binding: Binding) -> str:
    """Render the options of modprobe: ids, order of loading and blacklist."""
    parts = []
    if binding.ids:
        lines = [f"{ids}: {', '.join(where)}" for ids, where in binding.ids.items()]
        if binding.builtin_vfio:
            parts.append(
                comment(
                    "vfio-pci is part of this kernel: its ids are on the kernel command line.\n\n"
                    + "\n\n".join(lines)
                )
            )
        else:
            parts.append(
                comment(
                    "All functions of this host with these ids are passed through.\n\n"
                    + "\n\n".join(lines)
                ).replace("\n#\n", "\n")
                + f"options vfio-pci ids={binding.ids_text}\n"
            )
    if binding.overrides:
        lines = [f"{address}: {why}" for address, why in binding.overrides.items()]
        parts.append(
            comment(
                "Bound by address, by driver_override in the initramfs.\n\n" + "\n\n".join(lines)
            ).replace("\n#\n", "\n")
        )
    if binding.softdeps:
        parts.append(
            comment("Load vfio-pci before other drivers of the functions.")
            + "".join(f"softdep {module} pre: vfio-pci\n" for module in binding.softdeps)
        )
    if binding.blacklist:
        parts.append(
            comment("This host keeps no function for these drivers, so udev does not load them.")
            + "".join(f"blacklist {module}\n" for module in binding.blacklist)
        )
    return "\n".join(parts)


def modules_load() -> str:
    """Render the list of modules to load, so that vfio-pci is loaded without a softdep, too."""
    return "vfio-pci\n"
