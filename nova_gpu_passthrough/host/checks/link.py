# SPDX-License-Identifier: Apache-2.0
"""Check the PCIe link of a GPU against what card and slot support."""

from collections.abc import Iterator

from nova_gpu_passthrough.inventory.findings import Finding, Remedy, Severity
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import Gpu, PcieLink

_WHY = "The link limits copies between host memory and GPU, in every server that uses the GPU."


def check(inventory: Inventory) -> Iterator[Finding]:
    """Check width and speed of every GPU's link."""
    for gpu in inventory.gpus:
        link = inventory.device(gpu).link
        if link is not None:
            yield from _link(gpu, link)


def _link(gpu: Gpu, link: PcieLink) -> Iterator[Finding]:
    source = f"/sys/bus/pci/devices/{gpu.address}/current_link_width, current_link_speed"
    current = _text(link.speed_gts, link.width)
    findings = []
    if link.width and link.max_width and link.width < link.max_width:
        is_slot_wide = link.slot_max_width is None or link.slot_max_width >= link.max_width
        findings.append(
            Finding(
                "link.narrow",
                Severity.WARNING,
                gpu.address,
                f"runs at {current}, the card supports x{link.max_width}, "
                f"the slot x{link.slot_max_width or '?'}",
                source,
                _WHY,
                "Reseat the card, riser or cable; look for bifurcation in the firmware setup."
                if is_slot_wide
                else "Move the card to a wider slot.",
                Remedy.HARDWARE,
            )
        )
    if link.speed_gts and link.max_speed_gts and link.speed_gts < link.max_speed_gts:
        slot = link.slot_max_speed_gts
        is_slot_slow = slot is not None and slot < link.max_speed_gts
        findings.append(
            Finding(
                "link.slow",
                Severity.WARNING,
                gpu.address,
                f"runs at {current}, the card supports {link.max_speed_gts:g} GT/s, "
                f"the slot {f'{slot:g}' if slot else '?'} GT/s",
                source,
                _WHY,
                "Use a slot of the card's generation."
                if is_slot_slow
                else "An idle GPU may lower its link speed: audit again under load. If it stays "
                "low, set the slot's speed in the firmware setup, reseat card, riser or cable.",
                Remedy.HARDWARE,
            )
        )
    yield from findings or [
        Finding("link.full", Severity.OK, gpu.address, f"runs at {current}", source)
    ]


def _text(speed: float | None, width: int | None) -> str:
    return f"{f'{speed:g}' if speed else '?'} GT/s x{width or '?'}"
