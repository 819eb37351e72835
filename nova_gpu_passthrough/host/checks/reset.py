# SPDX-License-Identifier: Apache-2.0
"""Check whether a GPU can be reset between servers, and whether it may enter D3cold."""

from collections.abc import Iterator

from nova_gpu_passthrough.host import fix_commands
from nova_gpu_passthrough.inventory.findings import Finding, Remedy, Severity
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import Gpu, PciDevice
from nova_gpu_passthrough.inventory.shell_fix import as_root, script


def check(inventory: Inventory) -> Iterator[Finding]:
    """Check the reset methods and power states of every GPU."""
    for gpu in inventory.gpus:
        device = inventory.device(gpu)
        yield from _reset(gpu, device)
        yield from _d3cold(inventory, gpu, device)


def _reset(gpu: Gpu, device: PciDevice) -> Iterator[Finding]:
    source = f"/sys/bus/pci/devices/{gpu.address}/reset_method"
    if device.reset_methods is None:
        return
    if not device.reset_methods:
        yield Finding(
            "reset.none",
            Severity.FAILURE,
            gpu.address,
            "the kernel has no method to reset it",
            source,
            "The next server gets the GPU in the state in which the last one left it: with its "
            "data, or hung until the host is power-cycled.",
            "Update the card's firmware; use a slot in which it is alone below a root port, so "
            "that a bus reset is possible.",
            Remedy.HARDWARE,
        )
    else:
        yield Finding(
            "reset.possible", Severity.OK, gpu.address, " ".join(device.reset_methods), source
        )


def _d3cold(inventory: Inventory, gpu: Gpu, device: PciDevice) -> Iterator[Finding]:
    folder = f"/sys/bus/pci/devices/{gpu.address}"
    forbid = script(
        as_root(inventory.host, f"echo 0 > {folder}/d3cold_allowed"),
        fix_commands.generate(inventory, "That is until the next boot; for good, add a udev rule."),
    )
    if device.power_state == "D3cold":
        yield Finding(
            "power.d3cold",
            Severity.WARNING,
            gpu.address,
            "it is in D3cold now",
            f"{folder}/power_state",
            "Some GPUs do not wake up from D3cold: the server's card then does not respond until "
            "the host is power-cycled.",
            forbid,
            Remedy.CONFIGURATION,
        )
    elif device.d3cold_allowed:
        yield Finding(
            "power.d3cold_allowed",
            Severity.WARNING,
            gpu.address,
            "d3cold_allowed is 1",
            f"{folder}/d3cold_allowed",
            "vfio-pci puts an unused GPU to sleep; some do not wake up from D3cold, and the next "
            "server's card does not respond.",
            forbid,
            Remedy.CONFIGURATION,
        )
    elif device.d3cold_allowed is False:
        yield Finding(
            "power.d3cold_forbidden",
            Severity.OK,
            gpu.address,
            "d3cold_allowed is 0",
            f"{folder}/d3cold_allowed",
        )
