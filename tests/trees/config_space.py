# SPDX-License-Identifier: Apache-2.0
"""Build the configuration space of a PCI function: header and the capabilities that audits read.

Offsets and bits: include/uapi/linux/pci_regs.h. Unused capabilities and registers (MSI, AER) are
left out or zero.
"""

import struct
from collections.abc import Sequence

from tests.trees.device import Device, PortType
from tests.trees.model import PciLocation
from tests.trees.resources import ROM_ROW, SRIOV_ROW, WINDOW_ROW, Row

#: bytes that a user without CAP_SYS_ADMIN can read, and all bytes
HEADER, FULL = 64, 4096

SPEEDS = {2.5: 1, 5.0: 2, 8.0: 3, 16.0: 4, 32.0: 5, 64.0: 6}

_TYPES = {
    PortType.ENDPOINT: 0x0,
    PortType.ROOT_PORT: 0x4,
    PortType.UPSTREAM: 0x5,
    PortType.DOWNSTREAM: 0x6,
    PortType.PCI_BRIDGE: 0x7,
    PortType.INTEGRATED: 0x9,
}
_POWER_MANAGEMENT, _EXPRESS, _SUBSYSTEM = 0x40, 0x60, 0xB0
_FIRST_EXTENDED = 0x100


def config_space(location: PciLocation, rows: Sequence[Row], full: bool = False) -> bytes:
    """Return the content of ``config``: 64 bytes, or 4096 if ``full`` (256 without PCI Express)."""
    device = location.device
    data = bytearray(FULL)
    _header(data, location, rows)
    _capabilities(data, location)
    if not full:
        return bytes(data[:HEADER])
    if device.kind is PortType.CONVENTIONAL:
        return bytes(data[:256])
    _extended(data, device, rows)
    return bytes(data)


def _header(data: bytearray, location: PciLocation, rows: Sequence[Row]) -> None:
    device = location.device
    command = 0x0002 | (0x0404 if device.driver else 0)
    # Virtual functions have no ids and no memory enable bit (SR-IOV 3.4.1).
    vendor, product = (0xFFFF, 0xFFFF) if device.physfn else (device.vendor, device.device)
    struct.pack_into("<HHHH", data, 0, vendor, product, command, 0x0010)
    data[8] = device.revision
    data[9:12] = device.class_code.to_bytes(3, "little")
    slot = device.address.rpartition(".")[0]
    several = sum(one.address.rpartition(".")[0] == slot for one in location.siblings) > 1
    data[14] = int(device.is_bridge) | (0x80 if several else 0)
    data[0x34] = _POWER_MANAGEMENT
    if device.is_bridge:
        _bridge_header(data, device, rows)
        return
    if device.physfn is None:
        _registers(data, 0x10, rows[:ROM_ROW])
    struct.pack_into("<HH", data, 0x2C, *device.subsystem)
    struct.pack_into("<I", data, 0x30, rows[ROM_ROW].start & 0xFFFFFFFF)


def _registers(data: bytearray, offset: int, rows: Sequence[Row]) -> None:
    for index, row in enumerate(rows):
        if row.flags:
            low = (row.start & 0xFFFFFFF0) | (row.flags & 0xF)
            struct.pack_into("<I", data, offset + 4 * index, low)
            if row.flags & 0x4:
                struct.pack_into("<I", data, offset + 4 * index + 4, row.start >> 32)


def buses(device: Device) -> tuple[int, int]:
    """Return the secondary and subordinate bus number of a bridge; (0, 0) without devices."""
    below = [int(child.bus.partition(":")[2], 16) for child in device.children]
    if not below:
        return 0, 0
    return below[0], max([*below, *(buses(child)[1] for child in device.children)])


def _bridge_header(data: bytearray, device: Device, rows: Sequence[Row]) -> None:
    data[0x18] = device.routing_id >> 8
    data[0x19], data[0x1A] = buses(device)
    low, high = rows[WINDOW_ROW + 1], rows[WINDOW_ROW + 2]
    # A base above its limit closes the window.
    struct.pack_into("<HH", data, 0x20, 0xFFF0, 0)
    struct.pack_into("<HH", data, 0x24, 0xFFF1, 1)
    if low.flags:
        base, limit = low.start >> 16 & 0xFFF0, low.end >> 16 & 0xFFF0
        struct.pack_into("<HH", data, 0x20, base, limit)
    if high.flags:
        base, limit = high.start >> 16 & 0xFFF0 | 1, high.end >> 16 & 0xFFF0 | 1
        struct.pack_into("<HHII", data, 0x24, base, limit, high.start >> 32, high.end >> 32)


def _slot_power(watts: int) -> int:
    """Return the encoded power limit of a slot; above 239 W a code (PCI Express 7.5.3.9)."""
    return {250: 0xF0, 275: 0xF1, 300: 0xF2}.get(watts, watts)


def _capabilities(data: bytearray, location: PciLocation) -> None:
    device = location.device
    express = device.kind is not PortType.CONVENTIONAL
    after = _SUBSYSTEM if device.is_bridge else 0
    state = {"D0": 0, "D1": 1, "D2": 2, "D3hot": 3}.get(device.power_state, 0)
    # No soft reset: leaving D3hot does not reset the function, so that "pm" is no method.
    kept = 0 if "pm" in device.reset_methods else 0x8
    struct.pack_into(
        "<BBHH", data, _POWER_MANAGEMENT, 0x01, _EXPRESS if express else after, 3, state | kept
    )
    if device.is_bridge:
        struct.pack_into("<BBHHH", data, _SUBSYSTEM, 0x0D, 0, 0, *device.subsystem)
    if not express:
        return
    slot = bool(device.slot_watts)
    struct.pack_into(
        "<BBH", data, _EXPRESS, 0x10, after, 2 | _TYPES[device.kind] << 4 | int(slot) << 8
    )
    able = 1 << 28 if "flr" in device.reset_methods else 0
    if location.parents and not device.is_bridge:
        # The limit that the slot has sent to the card.
        able |= _slot_power(location.parents[0].slot_watts) << 18
    struct.pack_into("<I", data, _EXPRESS + 4, able)
    if device.link is not None:
        link = device.link
        struct.pack_into("<I", data, _EXPRESS + 0x0C, SPEEDS[link.max_speed] | link.max_width << 4)
        struct.pack_into("<H", data, _EXPRESS + 0x12, SPEEDS.get(link.speed, 0) | link.width << 4)
        supported = (1 << SPEEDS[link.max_speed]) - 1
        struct.pack_into("<I", data, _EXPRESS + 0x2C, supported << 1)
        struct.pack_into("<H", data, _EXPRESS + 0x30, SPEEDS[link.max_speed])
    if slot:
        struct.pack_into("<I", data, _EXPRESS + 0x14, _slot_power(device.slot_watts) << 7)


def _extended(data: bytearray, device: Device, rows: Sequence[Row]) -> None:
    """Write AER, ACS, SR-IOV and Resizable BAR as a list from 0x100."""
    blocks = [(0x0001, 2, bytes(0x44))]
    if device.serial:
        blocks.append((0x0003, 1, struct.pack("<Q", device.serial)))
    if device.acs:
        # Source validation, translation blocking, redirects, upstream forwarding, direct
        # translated; Linux enables SV, RR, CR and UF (pci_std_enable_acs).
        blocks.append((0x000D, 1, struct.pack("<HH", 0x005F, 0x001D)))
    if device.sriov is not None:
        blocks.append((0x0010, 1, _sriov(device, rows)))
    resizable = [bar for bar in device.bars if bar.sizes]
    if resizable:
        block = b""
        for bar in resizable:
            offered = sum(size >> 20 for size in bar.sizes)
            count = len(resizable) << 5 if bar is resizable[0] else 0
            now = (bar.size >> 20).bit_length() - 1
            block += struct.pack(
                "<II",
                offered << 4 & 0xFFFFFFFF,
                bar.index | count | now << 8 | (offered >> 28) << 16,
            )
        blocks.append((0x0015, 1, block))
    offset = _FIRST_EXTENDED
    for number, (identity, version, block) in enumerate(blocks):
        following = offset + 4 + len(block)
        last = number == len(blocks) - 1
        word = identity | version << 16 | (0 if last else following) << 20
        struct.pack_into("<I", data, offset, word)
        data[offset + 4 : following] = block
        offset = following


def _sriov(device: Device, rows: Sequence[Row]) -> bytes:
    sriov = device.sriov
    assert sriov is not None
    block = bytearray(0x3C)
    # Offsets are those of the capability minus the 4 bytes of its header.
    struct.pack_into("<H", block, 0x04, 0x9 if sriov.enabled else 0)
    struct.pack_into("<HHH", block, 0x08, sriov.total, sriov.total, sriov.enabled)
    struct.pack_into("<HHxxH", block, 0x10, sriov.offset, sriov.stride, sriov.device)
    struct.pack_into("<II", block, 0x18, 0x553, 1)
    _registers(block, 0x20, rows[SRIOV_ROW:WINDOW_ROW])
    return bytes(block)
