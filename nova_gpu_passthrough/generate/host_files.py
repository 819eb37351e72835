# SPDX-License-Identifier: Apache-2.0
"""The files of one host for kernel, drivers and initramfs, by distribution."""

from typing import NamedTuple

from nova_gpu_passthrough.fleet import memory
from nova_gpu_passthrough.fleet.offers import HostOffer, Note
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.generate import binding, initramfs, kernel_command_line, steps
from nova_gpu_passthrough.inventory.host import Distribution, Machine

#: The first Ubuntu that makes its initramfs with dracut.
_UBUNTU_DRACUT = (25, 10)


class HostFile(NamedTuple):
    """A generated file of a host, without its seal."""

    #: Below the host's root.
    path: str
    purpose: str
    text: str


def make(offer: HostOffer, settings: Settings) -> tuple[list[HostFile], list[Note]]:
    """Render the files of a host, with notes for the operator."""
    machine = offer.inventory.machine
    distribution = settings.distribution or machine.distribution
    dracut = distribution is None or uses_dracut(machine, distribution)
    vfio_binding = binding.make(offer)
    plan = memory.plan(offer, settings.reserved_host_memory_mb, settings.hugepages)
    words = kernel_command_line.options(offer, vfio_binding, plan)
    notes = []
    files = []
    if vfio_binding.devices:
        files += [
            HostFile(
                binding.MODPROBE_PATH,
                "order and ids of drivers",
                binding.modprobe_options(vfio_binding),
            ),
            HostFile(binding.LOAD_PATH, "loads vfio-pci", binding.modules_load()),
            HostFile(binding.UDEV_PATH, "no D3cold", binding.udev_rules(vfio_binding)),
        ]
    if distribution is None:
        notes.append(
            Note(
                offer.host,
                f"the family of distribution {machine.os_id or 'unknown'} is unknown, so no files "
                "for boot loader and initramfs are generated; set it with --distribution",
            )
        )
    else:
        files += _boot(distribution, dracut, words, vfio_binding)
    if vfio_binding.overrides:
        notes.append(
            Note(
                offer.host,
                f"{', '.join(vfio_binding.overrides)}: bound by address and not by ids, because "
                + "; ".join(dict.fromkeys(vfio_binding.overrides.values())),
            )
        )
    directories = sorted({file.path.partition("/")[0] for file in files} | {"etc"})
    text = steps.host(distribution, dracut, words, vfio_binding, directories)
    files.append(HostFile(steps.PATH, "what to do, in order", text))
    return files, notes


def _boot(
    distribution: Distribution, dracut: bool, words: tuple[str, ...], vfio_binding: binding.Binding
) -> list[HostFile]:
    files = []
    if distribution is Distribution.DEBIAN:
        files.append(
            HostFile(
                kernel_command_line.GRUB_PATH,
                "kernel command line",
                kernel_command_line.grub(words),
            )
        )
    if not vfio_binding.devices:
        return files
    by_address = "binds by address, before other drivers"
    if not dracut:
        files.append(HostFile(initramfs.HOOK_PATH, "vfio-pci in the initramfs", initramfs.hook()))
        if vfio_binding.overrides:
            script = initramfs.script(vfio_binding)
            files.append(HostFile(initramfs.SCRIPT_PATH, by_address, script))
        return files
    files.append(
        HostFile(
            initramfs.DRACUT_PATH, "vfio-pci in the initramfs", initramfs.dracut_conf(vfio_binding)
        )
    )
    if vfio_binding.overrides:
        files += [
            HostFile(
                initramfs.DRACUT_SETUP_PATH,
                "includes the script in the initramfs",
                initramfs.dracut_setup(),
            ),
            HostFile(
                initramfs.DRACUT_SCRIPT_PATH, by_address, initramfs.dracut_script(vfio_binding)
            ),
        ]
    return files


def uses_dracut(machine: Machine, distribution: Distribution) -> bool:
    """Check whether dracut makes the initramfs, not initramfs-tools."""
    if distribution is not Distribution.DEBIAN:
        return True
    numbers = [int(part) for part in (machine.os_version or "").split(".") if part.isdecimal()]
    return machine.os_id == "ubuntu" and tuple(numbers) >= _UBUNTU_DRACUT
