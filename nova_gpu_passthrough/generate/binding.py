# SPDX-License-Identifier: Apache-2.0
"""How vfio-pci gets the passed-through functions at boot: by ids or by address.

By ids (``options vfio-pci ids=``) where every function of the host with these ids is passed
through: vfio-pci takes them as soon as it is loaded, and a softdep loads it before the drivers that
would take them. It survives a card that moves to another slot.

By address where a function with the same ids stays with the host, where a driver that would take
it is part of the kernel, and for VFs, which may have their PF's ids: ``driver_override`` in sysfs
(Documentation/ABI/testing/sysfs-bus-pci) is set in the initramfs before udev loads drivers, and the
function is taken away from a driver that has it already. It needs no package on the host, unlike
driverctl, whose service runs after the drivers are loaded. A function whose ids are not those of
the inventory is left alone, so a disk that gets the address of a GPU stays with the host.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from nova_gpu_passthrough.fleet.offers import Offer
from nova_gpu_passthrough.generate.options import comment
from nova_gpu_passthrough.inventory import drivers
from nova_gpu_passthrough.inventory.host import ModuleState
from nova_gpu_passthrough.inventory.pci import DeviceType, PciDevice


@dataclass(frozen=True)
class Binding:
    """What has to be said to the kernel of one host."""

    #: ``vendor:product`` with the addresses that it stands for.
    ids: Mapping[str, tuple[str, ...]]
    #: Functions by address, with why.
    overrides: Mapping[str, str]
    devices: tuple[PciDevice, ...]
    #: Modules that vfio-pci has to be loaded before.
    softdeps: tuple[str, ...]
    #: Modules of which every function is passed through.
    blacklist: tuple[str, ...]
    #: Whether vfio-pci is part of the kernel, so reads its ids from the command line only.
    builtin_vfio: bool

    @property
    def ids_text(self) -> str:
        """As the module's parameter wants them."""
        return ",".join(self.ids)

    @functools.cached_property
    def override_devices(self) -> tuple[PciDevice, ...]:
        """Functions that are bound by address."""
        return tuple(device for device in self.devices if device.address in self.overrides)


def decide(offer: Offer) -> Binding:
    """The binding of a host's offered functions."""
    inventory = offer.inventory
    ours = {offered.address: offered.device for offered in offer.bound}
    stays: dict[str, str] = {}
    for device in inventory.devices:
        if device.address not in ours:
            stays.setdefault(device.ids, device.address)
    ids: dict[str, list[str]] = {}
    overrides: dict[str, str] = {}
    for address, device in ours.items():
        builtin = drivers.builtin(device, inventory.kernel)
        if device.device_type is DeviceType.VF:
            overrides[address] = f"a VF of {device.physical_function}"
        elif device.ids in stays:
            overrides[address] = f"{stays[device.ids]} has the same ids and stays with the host"
        elif builtin:
            overrides[address] = f"{', '.join(builtin)} is part of the kernel"
        else:
            ids.setdefault(device.ids, []).append(address)
    modules = {module: device for device in ours.values() for module in drivers.takers(device)}
    # nvgrace and NICs are passed through as well, but by libvirt: their drivers stay.
    blacklist = [
        module
        for module, device in modules.items()
        if drivers.drives_gpus(module, device)
        and all(user.address in ours for user in drivers.users(module, inventory.devices))
    ]
    states = inventory.kernel.modules or {}
    return Binding(
        {key: tuple(addresses) for key, addresses in sorted(ids.items())},
        overrides,
        tuple(ours.values()),
        tuple(sorted(modules)),
        tuple(sorted(blacklist)),
        states.get("vfio_pci") is ModuleState.BUILTIN,
    )


BINDING_PATH = "etc/udev/rules.d/90-gpu-passthrough.rules"


def rules(binding: Binding) -> str:
    """One rule for each function, and one more for each that is bound by address."""
    text = comment("Idle devices keep their power (no D3cold): not all come back from it.")
    for device in binding.devices:
        if device.physical_function is None:
            text += f'{_match(device)}, TEST=="d3cold_allowed", ATTR{{d3cold_allowed}}="0"\n'
    if binding.overrides:
        text += "\n" + comment("Functions that are bound by address, when they appear later.")
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


def options(binding: Binding) -> str:
    """Ids, order of loading and blacklist."""
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
            comment("vfio-pci is loaded before what else could take them.")
            + "".join(f"softdep {module} pre: vfio-pci\n" for module in binding.softdeps)
        )
    if binding.blacklist:
        parts.append(
            comment("Nothing on this host is left for these; udev does not load them.")
            + "".join(f"blacklist {module}\n" for module in binding.blacklist)
        )
    return "\n".join(parts)


def load() -> str:
    """Loads vfio-pci even where no driver pulls it in."""
    return "vfio-pci\n"
