# SPDX-License-Identifier: Apache-2.0
"""Numbers of GPUs whose BARs fit into a guest's address space."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.topology.address_space import (
    GIB,
    GuestPlatform,
    fits,
    max_ram_gib,
    mmio_bytes,
    ram_end,
    window_bytes,
)

MIB, TIB = 2**20, 2**40
H100_NVL = (128 * GIB, 32 * MIB)
L40S = (64 * GIB, 32 * MIB)
T4 = (256 * MIB, 32 * MIB)
BIOS_40 = GuestPlatform(40, "intel", uefi=False)

PLATFORMS = st.builds(
    GuestPlatform, st.integers(36, 52), st.sampled_from(["intel", "amd"]), st.booleans()
)
GPUS = st.lists(
    st.lists(st.integers(20, 38).map(lambda bit: 1 << bit), max_size=3).map(tuple), max_size=8
)
RAM = st.integers(1, 4096).map(lambda gib: gib * GIB)


def _visible(ram_gib, platform):
    """Return how many of four H100 NVL a guest can map."""
    counts = [n for n in range(5) if fits([H100_NVL] * n, ram_gib * GIB, platform)]
    return max(counts)


@pytest.mark.parametrize(("ram_gib", "gpus"), [(256, 3), (512, 2), (768, 1)])
def test_four_h100_nvl_with_40_bits_as_operators_reported(ram_gib, gpus):
    assert _visible(ram_gib, BIOS_40) == gpus


def test_all_four_fit_with_the_hosts_width():
    assert _visible(768, GuestPlatform(52, "intel", uefi=True)) == 4
    assert _visible(768, GuestPlatform(46, "amd", uefi=True)) == 4


@pytest.mark.parametrize(
    ("bars", "size"),
    [
        ((), 0),
        ((64 * GIB,), 64 * GIB),
        (H100_NVL, 256 * GIB),
        (T4, 512 * MIB),
        ((16 * GIB, 16 * GIB), 32 * GIB),
        ((256 * GIB, 2 * MIB), 512 * GIB),
    ],
)
def test_a_window_is_a_multiple_of_the_largest_bar(bars, size):
    assert window_bytes(bars) == size
    assert window_bytes(reversed(bars)) == size


@pytest.mark.parametrize(
    ("ram_gib", "vendor", "end_gib"),
    [
        (1, "intel", 4),
        (2, "intel", 4),
        (4, "intel", 6),
        (256, "intel", 258),
        (2048, "intel", 2050),
        (256, "amd", 258),
        # With the window that QEMU adds, it would overlap the range from 1012 GiB on.
        (978, "amd", 980),
        (979, "amd", 1024 + 977),
        (1024, "amd", 1024 + 1022),
    ],
)
def test_the_end_of_ram(ram_gib, vendor, end_gib):
    assert ram_end(ram_gib * GIB, GuestPlatform(52, vendor)) == end_gib * GIB


def test_a_large_guest_does_not_fit_into_40_bits_on_amd():
    platform = GuestPlatform(40, "amd", uefi=False)
    assert fits([T4], 976 * GIB, platform)
    assert not fits([T4], 980 * GIB, platform)


class TestOvmf:
    """PlatformAddressWidthFromCpuid and PlatformDynamicMmioWindow of edk2."""

    @pytest.mark.parametrize(
        ("bits", "vendor", "window"),
        [
            (41, "intel", TIB // 4),
            (46, "intel", 8 * TIB),
            # More than 46 bits are not used.
            (48, "intel", 8 * TIB),
            (52, "amd", 8 * TIB),
            # QEMU's default is not trusted on Intel, since Intel has no such processors.
            (40, "intel", 32 * GIB),
            (40, "amd", 128 * GIB),
            (39, "intel", 64 * GIB),
            (38, "intel", 32 * GIB),
        ],
    )
    def test_windows(self, bits, vendor, window):
        assert mmio_bytes(8 * GIB, GuestPlatform(bits, vendor)) == window

    def test_if_ram_leaves_no_eighth_there_are_32_gib_above_it(self):
        platform = GuestPlatform(41, "intel")
        assert mmio_bytes(1700 * GIB, platform) == TIB // 4
        assert mmio_bytes(1800 * GIB, platform) == 32 * GIB
        assert mmio_bytes(2040 * GIB, platform) == 0

    def test_guests_of_one_h100_need_more_than_40_bits(self):
        assert not fits([H100_NVL], 16 * GIB, GuestPlatform(40, "intel"))
        assert not fits([H100_NVL], 16 * GIB, GuestPlatform(40, "amd"))
        assert fits([H100_NVL], 16 * GIB, GuestPlatform(41, "intel"))

    def test_small_cards_always_fit(self):
        assert fits([T4] * 8, 256 * GIB, GuestPlatform(40, "intel"))


@pytest.mark.parametrize(
    ("host", "passthrough", "bits"),
    [(52, True, 52), (52, False, 40), (39, False, 39), (39, True, 39), (None, True, 40)],
)
def test_a_guest_has_qemus_bits_or_the_hosts(host, passthrough, bits):
    assert GuestPlatform.of_host(host, "amd", passthrough).bits == bits


def test_an_unknown_cpu_vendor_counts_as_intel():
    assert GuestPlatform.of_host(52, None, True).cpu_vendor == "intel"


@given(GPUS, RAM, RAM, PLATFORMS)
def test_more_ram_never_helps(gpus, some, more, platform):
    if fits(gpus, some + more, platform):
        assert fits(gpus, some, platform)
    assert mmio_bytes(some + more, platform) <= mmio_bytes(some, platform)
    assert ram_end(some + more, platform) > ram_end(some, platform) or some + more <= 2 * GIB


@given(GPUS, RAM, PLATFORMS)
def test_fewer_gpus_never_hurt(gpus, ram, platform):
    if fits(gpus, ram, platform):
        assert fits(gpus[1:], ram, platform)


@given(GPUS, RAM, st.integers(36, 51), st.sampled_from(["intel", "amd"]))
def test_more_bits_never_hurt_without_uefi(gpus, ram, bits, vendor):
    if fits(gpus, ram, GuestPlatform(bits, vendor, uefi=False)):
        assert fits(gpus, ram, GuestPlatform(bits + 1, vendor, uefi=False))


@given(GPUS, RAM, st.integers(41, 51), st.sampled_from(["intel", "amd"]))
def test_more_bits_never_hurt_uefi_from_41_on(gpus, ram, bits, vendor):
    """Below, OVMF trusts some widths and not others."""
    if fits(gpus, ram, GuestPlatform(bits, vendor)):
        assert fits(gpus, ram, GuestPlatform(bits + 1, vendor))


def test_40_bits_are_worse_than_39_for_uefi_on_intel():
    two = [(16 * GIB, 32 * MIB)] * 2
    assert fits(two, 8 * GIB, GuestPlatform(39, "intel"))
    assert not fits(two, 8 * GIB, GuestPlatform(40, "intel"))


@given(GPUS, RAM, PLATFORMS, st.randoms())
def test_the_order_of_gpus_and_bars_does_not_matter(gpus, ram, platform, random):
    shuffled = [tuple(random.sample(bars, len(bars))) for bars in gpus]
    random.shuffle(shuffled)
    assert fits(shuffled, ram, platform) == fits(gpus, ram, platform)


@given(GPUS, PLATFORMS, st.integers(0, 4096))
def test_more_than_the_most_ram_does_not_fit(gpus, platform, host_gib):
    most = max_ram_gib(gpus, platform, host_gib)
    if most is None:
        assert not fits(gpus, GIB, platform)
        return
    assert 1 <= most <= max(1, host_gib)
    assert fits(gpus, most * GIB, platform)
    if most < host_gib:
        assert not fits(gpus, (most + 1) * GIB, platform)


def test_without_gpus_everything_fits():
    assert fits([], 4096 * GIB, GuestPlatform(52, "intel"))
    assert fits([()], 16 * GIB, BIOS_40)
    assert max_ram_gib([()], GuestPlatform(52), 2048) == 2048
