# SPDX-License-Identifier: Apache-2.0
"""Kernel, drivers and initramfs of one host, by distribution."""

from typing import NamedTuple

from nova_gpu_passthrough.fleet import memory
from nova_gpu_passthrough.fleet.notes import Note
from nova_gpu_passthrough.fleet.offers import Offer
from nova_gpu_passthrough.fleet.settings import Distribution, Settings
from nova_gpu_passthrough.generate import (
    binding,
    distributions,
    initramfs,
    kernel_command_line,
    steps,
)


class HostFile(NamedTuple):
    """A file below the host's root."""

    path: str
    purpose: str
    text: str


def make(offer: Offer, settings: Settings) -> tuple[list[HostFile], list[Note]]:
    """The files of a host, and what else there is to know."""
    machine = offer.inventory.machine
    distribution = settings.distribution or distributions.family(machine)
    dracut = distribution is None or distributions.uses_dracut(machine, distribution)
    bound = binding.decide(offer)
    plan = memory.plan(offer, settings.reserved_host_memory_mb, settings.hugepages)
    words = kernel_command_line.options(offer, bound, plan)
    notes = []
    files = []
    if bound.devices:
        files += [
            HostFile(binding.MODPROBE_PATH, "order and ids of drivers", binding.options(bound)),
            HostFile(binding.LOAD_PATH, "loads vfio-pci", binding.load()),
            HostFile(binding.BINDING_PATH, "no D3cold", binding.rules(bound)),
        ]
    if distribution is None:
        notes.append(
            Note(
                offer.host,
                f"distribution {machine.os_id or 'unknown'} is of no known family, so boot loader "
                "and initramfs are left to you; --distribution names the family",
            )
        )
    else:
        files += _boot(distribution, dracut, words, bound)
    if bound.overrides:
        notes.append(
            Note(
                offer.host,
                f"{', '.join(bound.overrides)}: bound by address and not by ids, since "
                + "; ".join(dict.fromkeys(bound.overrides.values())),
            )
        )
    directories = sorted({file.path.partition("/")[0] for file in files} | {"etc"})
    text = steps.host(distribution, dracut, words, bound, directories)
    files.append(HostFile(steps.PATH, "what to do, in order", text))
    return files, notes


def _boot(
    distribution: Distribution, dracut: bool, words: tuple[str, ...], bound: binding.Binding
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
    if not bound.devices:
        return files
    by_address = "binds by address, before other drivers"
    if not dracut:
        files.append(HostFile(initramfs.HOOK_PATH, "vfio-pci in the initramfs", initramfs.hook()))
        if bound.overrides:
            script = initramfs.script(bound)
            files.append(HostFile(initramfs.SCRIPT_PATH, by_address, script))
        return files
    files.append(
        HostFile(initramfs.DRACUT_PATH, "vfio-pci in the initramfs", initramfs.dracut_conf(bound))
    )
    if bound.overrides:
        files += [
            HostFile(
                initramfs.DRACUT_SETUP_PATH,
                "takes the script into the initramfs",
                initramfs.dracut_setup(),
            ),
            HostFile(initramfs.DRACUT_SCRIPT_PATH, by_address, initramfs.dracut_script(bound)),
        ]
    return files
