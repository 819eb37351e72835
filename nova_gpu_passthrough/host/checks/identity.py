# SPDX-License-Identifier: Apache-2.0
"""Check whether the models of the GPUs are known, and report their power limits."""

from collections.abc import Iterator

from nova_gpu_passthrough.host import fix_commands
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Severity
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import Gpu
from nova_gpu_passthrough.inventory.shell_fix import command, comment, script

_DEVICES = "/sys/bus/pci/devices"


def check(inventory: Inventory) -> Iterator[Finding]:
    """Check the models of all GPUs, slot power and hwmon."""
    if not inventory.gpus:
        yield Finding(
            "gpu.none",
            Severity.WARNING,
            HOST,
            f"no GPU among {len(inventory.devices)} PCI functions",
            _DEVICES,
            "There is nothing to pass through.",
            script(
                comment(f"On {inventory.host}, look for the card:"),
                r"lspci -nn | grep -e '\[03' -e '\[12'",
                comment("Name one that is not in the catalogue, by the ids and a name of yours:"),
                command("nova-gpu", "host", "audit", "--gpu", "VENDOR:PRODUCT=MODEL"),
            ),
        )
    for gpu in inventory.gpus:
        yield _model(inventory, gpu)
        yield from _power(inventory, gpu)


def _model(inventory: Inventory, gpu: Gpu) -> Finding:
    device = inventory.device(gpu)
    text = f"{device.ids} class {device.class_code[:4]} is {gpu.model} ({gpu.model_source})"
    source = f"{_DEVICES}/{gpu.address}/device"
    if gpu.model_source in ("catalogue", "operator"):
        return Finding("gpu.model", Severity.OK, gpu.address, text, source)
    return Finding(
        "gpu.model_unknown",
        Severity.WARNING,
        gpu.address,
        text,
        source,
        "The catalogue has neither its value nor its board; the scheduler recognizes it as a GPU "
        "only by the tag gpu_model.",
        fix_commands.audit_again(inventory, "--gpu", f"{device.ids}=MODEL"),
    )


def _power(inventory: Inventory, gpu: Gpu) -> Iterator[Finding]:
    device = inventory.device(gpu)
    limits = [
        f"{name} {watts:g} W"
        for name, watts in (
            ("slot limit", device.slot_power_watts),
            ("draws", device.power_watts),
            ("cap", device.power_cap_watts),
        )
        if watts is not None
    ]
    if limits:
        yield Finding(
            "power.told",
            Severity.OK,
            gpu.address,
            ", ".join(limits),
            f"{_DEVICES}/{gpu.address}/hwmon, config of the port above",
        )
