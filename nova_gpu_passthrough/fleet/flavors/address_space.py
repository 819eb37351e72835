# SPDX-License-Identifier: Apache-2.0
"""How much memory a server with GPUs may have, so that their BARs fit into its address space."""

from collections.abc import Mapping, Sequence

from nova_gpu_passthrough.fleet.offers import Offer, Offered
from nova_gpu_passthrough.topology.address_space import GuestPlatform, most_ram_gib

MODE = "hw:maxphysaddr_mode"
BITS = "hw:maxphysaddr_bits"
#: The CPU shows the host's bits.
PASSTHROUGH = "passthrough"


def needs_wide_addresses(offer: Offer) -> bool:
    """Whether a guest with all GPUs of one model and all memory needs more than QEMU's 40 bits."""
    host_gib = offer.inventory.memory_gib
    by_model: dict[str, list[tuple[int, ...]]] = {}
    for gpu in offer.gpus:
        if high := gpu.device.high_bars:
            by_model.setdefault(gpu.model, []).append(high)
    return any(
        most_ram_gib(bars, platform(offer, {}), host_gib) != host_gib for bars in by_model.values()
    )


def most_ram_mib(
    offer: Offer, gpus: Sequence[Offered], count: int, extra_specs: Mapping[str, str]
) -> int:
    """The most memory (MiB, at most the host's) of a guest that sees so many of the GPUs.

    0: not even the smallest guest does.
    """
    bars = [gpu.device.high_bars for gpu in gpus]
    most = most_ram_gib(bars, platform(offer, extra_specs), offer.inventory.memory_gib, count)
    return (most or 0) * 1024


def platform(offer: Offer, extra_specs: Mapping[str, str]) -> GuestPlatform:
    """What bounds the address space of a flavor's servers on a host; they boot by UEFI."""
    cpu = offer.inventory.cpu
    mode, bits = extra_specs.get(MODE), extra_specs.get(BITS, "")
    if mode != PASSTHROUGH and bits.isdecimal():
        return GuestPlatform(
            min(int(bits), cpu.physical_address_bits or int(bits)), cpu.vendor or "intel"
        )
    return GuestPlatform.of_host(cpu.physical_address_bits, cpu.vendor, mode == PASSTHROUGH)
