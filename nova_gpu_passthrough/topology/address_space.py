# SPDX-License-Identifier: Apache-2.0
"""Compute whether the BARs of passed-through GPUs fit into a guest's physical address space.

A guest maps its RAM and, above it, every GPU's BARs. Each GPU is behind a separate root port, whose
window is a multiple of its largest BAR: 128 GiB and 32 MiB take 256 GiB. If they do not fit, the
guest boots without some of its GPUs. The firmware decides how much space there is:

* OVMF (UEFI) uses the upper eighth of the address space, or 32 GiB above RAM if it does not trust
  the width (``PlatformDynamicMmioWindow`` and ``PlatformAddressWidthFromCpuid`` in edk2,
  OvmfPkg/Library/PlatformInitLib/MemDetect.c; a quarter from August 2026 on, edk2 pull request
  12997). It uses 46 bits at most.
* SeaBIOS and the guest's kernel use everything above RAM.

QEMU gives guests 40 bits, or those of the host with CPU mode host-passthrough
(``host_cpu_max_instance_init`` in target/i386/host-cpu.c) and the extra spec
``hw:maxphysaddr_mode=passthrough``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

GIB = 2**30
#: Default of QEMU's CPU models, independent of the host.
DEFAULT_BITS = 40
#: OVMF cannot map more with its page tables.
OVMF_MAX_BITS = 46
_OVMF_CLASSIC_BYTES = 32 * GIB
_BELOW_4G = 2 * GIB
#: On AMD, guest RAM must not overlap the HyperTransport range below 1 TiB: QEMU moves all RAM above
#: 4 GiB beyond it (hw/i386/pc.c, AMD_HT_START and pc_set_amd_above_4g_mem_start).
_AMD_HOLE_START = 0xFD_0000_0000
_AMD_ABOVE_HOLE = 0x100_0000_0000
#: The default size of the 64-bit PCI hole, which QEMU adds to the RAM when it checks for an overlap
#: with that range (Q35_PCI_HOST_HOLE64_SIZE_DEFAULT in hw/pci-host/q35.c).
_QEMU_HOLE64_BYTES = 32 * GIB


@dataclass(frozen=True, slots=True)
class GuestPlatform:
    """The properties of a guest that limit its address space."""

    #: Width of a guest physical address.
    bits: int = DEFAULT_BITS
    #: intel or amd.
    cpu_vendor: str = "intel"
    uefi: bool = True

    @classmethod
    def of_host(
        cls, host_bits: int | None, cpu_vendor: str | None, passthrough: bool, uefi: bool = True
    ) -> "GuestPlatform":
        """Return the platform of a guest on a host.

        :param host_bits: width of the host's physical addresses; None if unknown
        :param passthrough: whether the flavor says ``hw:maxphysaddr_mode=passthrough``
        """
        bits = host_bits if passthrough and host_bits else DEFAULT_BITS
        return cls(min(bits, host_bits or bits), cpu_vendor or "intel", uefi)

    @property
    def usable_bits(self) -> int:
        """Return the address width that the firmware uses."""
        return min(self.bits, OVMF_MAX_BITS) if self.uefi else self.bits


def window_bytes(bars: Iterable[int]) -> int:
    """Return the address space that the root port of one GPU takes, in bytes.

    :param bars: sizes of its BARs that can lie above 4 GiB, in bytes
    """
    sizes = list(bars)
    if not sizes:
        return 0
    largest = max(sizes)
    return -(-sum(sizes) // largest) * largest


def ram_end(ram_bytes: int, platform: GuestPlatform) -> int:
    """Return the first address above a guest's RAM."""
    if ram_bytes <= _BELOW_4G:
        return 4 * GIB
    above = ram_bytes - _BELOW_4G
    needed = 4 * GIB + above + _QEMU_HOLE64_BYTES
    if platform.cpu_vendor == "amd" and needed > _AMD_HOLE_START:
        return _AMD_ABOVE_HOLE + above
    return 4 * GIB + above


def mmio_bytes(ram_bytes: int, platform: GuestPlatform) -> int:
    """Return how many bytes are available for BARs above 4 GiB."""
    top, end = 1 << platform.usable_bits, ram_end(ram_bytes, platform)
    if not platform.uefi:
        return max(0, top - end)
    # OVMF trusts 40 bits, QEMU's default, on AMD but not on Intel.
    trusted = platform.bits >= 41 or (
        platform.bits == 40 if platform.cpu_vendor == "amd" else platform.bits in (36, 39)
    )
    base = _align(end, _OVMF_CLASSIC_BYTES)
    if trusted and base + top // 8 < top:
        return max(_OVMF_CLASSIC_BYTES, top // 8)
    return _OVMF_CLASSIC_BYTES if base + _OVMF_CLASSIC_BYTES <= top or not trusted else 0


def fits(gpus: Sequence[Sequence[int]], ram_bytes: int, platform: GuestPlatform) -> bool:
    """Check whether a guest with this much RAM can map all these GPUs.

    :param gpus: for each GPU, the sizes of its BARs that can lie above 4 GiB, in bytes
    """
    if platform.uefi:
        return sum(window_bytes(bars) for bars in gpus) <= mmio_bytes(ram_bytes, platform)
    # Pack the BARs from the top: the smaller BARs of a GPU below its largest.
    address = 1 << platform.usable_bits
    for bars in sorted((sorted(bars, reverse=True) for bars in gpus if bars), reverse=True):
        for size in bars:
            address = (address - size) // size * size
    return address >= ram_end(ram_bytes, platform)


def max_ram_gib(
    gpus: Sequence[Sequence[int]],
    platform: GuestPlatform,
    host_ram_gib: int,
    count: int | None = None,
) -> int | None:
    """Return the most RAM (GiB) with which a guest can map all these GPUs.

    :param host_ram_gib: upper limit of the result
    :param count: the guest gets only this many of the GPUs. The result holds for any such subset:
        those with the largest BARs decide, since cards of one model may differ (Resizable BAR)
    :returns: None if not even a guest with 1 GiB can map them
    """
    if count is not None:
        gpus = sorted(gpus, key=window_bytes, reverse=True)[:count]
    if not fits(gpus, GIB, platform):
        return None
    low, high = 1, max(1, host_ram_gib)
    if fits(gpus, high * GIB, platform):
        return high
    # Binary search: more RAM never leaves more address space.
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(gpus, middle * GIB, platform) else (low, middle)
    return low


def _align(address: int, size: int) -> int:
    return -(-address // size) * size
