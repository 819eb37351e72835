# SPDX-License-Identifier: Apache-2.0
"""Check whether the host has mapped the BARs, and which guests can map them."""

from collections.abc import Iterator

from nova_gpu_passthrough.inventory.findings import HOST, Finding, Remedy, Severity
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import Bar, Gpu, PciDevice
from nova_gpu_passthrough.topology.address_space import (
    DEFAULT_BITS,
    GIB,
    GuestPlatform,
    max_ram_gib,
    window_bytes,
)

_WHY_SPACE = "A guest whose address space is too small for all BARs boots without some of its GPUs."
#: Servers with more GPUs are rare: it is no warning if they do not fit.
_USUAL_MAX_GPUS = 8


def check(inventory: Inventory) -> Iterator[Finding]:
    """Check the BARs of every GPU, then the guests that they fit into."""
    for gpu in inventory.gpus:
        device = inventory.device(gpu)
        if device.bars:
            yield _mapped(gpu, device)
    yield from _guests(inventory)


def size_text(number: int) -> str:
    """Return a number of bytes in the largest unit that divides it."""
    for unit, name in ((GIB, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= unit and number % unit == 0:
            return f"{number // unit} {name}"
    return f"{number} bytes"


def _mapped(gpu: Gpu, device: PciDevice) -> Finding:
    source = f"/sys/bus/pci/devices/{gpu.address}/resource"
    own = [bar for bar in device.bars if bar.index <= 5]
    missing = [bar for bar in own if not bar.assigned]
    if missing:
        return Finding(
            "bar.unassigned",
            Severity.FAILURE,
            gpu.address,
            f"no address range for {', '.join(map(_bar_text, missing))}",
            source,
            "No driver can use the GPU, in the host or in a server.",
            "Enable Above 4G Decoding in the firmware setup (and MMIO High Size or Base large "
            "enough for all GPUs).",
            Remedy.FIRMWARE,
        )
    bars = ", ".join(f"BAR {bar.index} {size_text(bar.size)}" for bar in own)
    return Finding("bar.assigned", Severity.OK, gpu.address, bars, source)


def _bar_text(bar: Bar) -> str:
    return f"BAR {bar.index} ({size_text(bar.size)})"


def _guests(inventory: Inventory) -> Iterator[Finding]:
    """Report for each model how much RAM a guest may have with 1, 2, 4, ... of its GPUs."""
    models: dict[str, list[tuple[int, ...]]] = {}
    if inventory.cpu.vendor not in (None, "intel", "amd"):
        # QEMU's Arm machines have a separate window for devices, independent of the RAM.
        return
    for gpu in inventory.gpus:
        if bars := inventory.device(gpu).high_bars:
            models.setdefault(gpu.model, []).append(bars)
    host_gib = inventory.memory_gib
    bits = inventory.cpu.physical_address_bits
    source = "/sys/bus/pci/devices/*/resource, /proc/cpuinfo"
    for model, gpus in models.items():
        widest = _max_ram(inventory, gpus, host_gib, passthrough=True, uefi=True)
        uefi = _max_ram(inventory, gpus, host_gib, passthrough=False, uefi=True)
        bios = _max_ram(inventory, gpus, host_gib, passthrough=False, uefi=False)
        largest = max(map(window_bytes, gpus))
        text = (
            f"{model}: {size_text(largest)} of a guest's address space each; with the "
            f"host's {bits or '?'} bits and UEFI {_fits(widest, host_gib)}; with QEMU's default "
            f"of {DEFAULT_BITS} bits and UEFI {_fits(uefi, host_gib)}, and BIOS "
            f"{_fits(bios, host_gib)}"
        )
        if host_gib and all(ram == host_gib for ram in uefi.values()):
            yield Finding("address_space.ample", Severity.OK, HOST, text, source)
        elif any(ram is None for count, ram in widest.items() if count <= _USUAL_MAX_GPUS):
            yield Finding(
                "address_space.too_small",
                Severity.WARNING,
                HOST,
                text,
                source,
                _WHY_SPACE,
                "Offer flavors with fewer GPUs, and widen the address space (5-level paging, no "
                "memory encryption) in the firmware setup, if the processor supports more bits.",
                Remedy.FIRMWARE,
            )
        else:
            yield Finding(
                "address_space.needs_passthrough",
                Severity.OK,
                HOST,
                text,
                source,
                _WHY_SPACE,
                "Set [libvirt] cpu_mode = host-passthrough on the compute nodes, and give flavors "
                "hw:maxphysaddr_mode=passthrough and images hw_firmware_type=uefi.",
            )


def _max_ram(
    inventory: Inventory,
    gpus: list[tuple[int, ...]],
    host_gib: int,
    *,
    passthrough: bool,
    uefi: bool,
) -> dict[int, int | None]:
    platform = GuestPlatform.of_host(
        inventory.cpu.physical_address_bits, inventory.cpu.vendor, passthrough, uefi
    )
    counts = [count for count in (1, 2, 4, 8, 16) if count < len(gpus)] + [len(gpus)]
    return {count: max_ram_gib(gpus, platform, host_gib, count) for count in counts}


def _fits(rams: dict[int, int | None], host_gib: int) -> str:
    """Return ``all 8 fit``, or the numbers of GPUs that fit and the RAM for each."""
    if all(ram == host_gib for ram in rams.values()):
        return f"all {max(rams)} fit"
    counts = [f"{count} up to {ram} GiB RAM" for count, ram in rams.items() if ram]
    return f"{', '.join(counts)} fit" if counts else "none fits"
