# SPDX-License-Identifier: Apache-2.0
"""Parse PCI configuration space, as far as the kernel lets a user read it.

Users other than root can read only the first 64 bytes: the header, without capabilities
(``pci_read_config`` in drivers/pci/pci-sysfs.c). Layouts: PCI Express Base Specification 6.0,
chapter 7, and include/uapi/linux/pci_regs.h.
"""

import struct

_HEADER_BYTES = 64
_BRIDGE = 1
_CAP_EXPRESS = 0x10
_EXT_CAP_SERIAL_NUMBER = 0x0003
_EXT_CAP_ACS = 0x000D
#: ACS control bits, as lspci names them.
_ACS_CONTROLS = ("SrcValid", "TransBlk", "ReqRedir", "CmpltRedir", "UpstreamFwd", "EgressCtrl")


def bridge_buses(config: bytes) -> tuple[int, int] | None:
    """Return the secondary and subordinate bus number of a bridge; None for other functions."""
    if len(config) < _HEADER_BYTES or config[0x0E] & 0x7F != _BRIDGE:
        return None
    return config[0x19], config[0x1A]


def acs_controls(config: bytes) -> tuple[str, ...] | None:
    """Return the ACS controls that are on; None without a readable ACS capability."""
    offset = _extended_capability(config, _EXT_CAP_ACS)
    if offset is None:
        return None
    (control,) = struct.unpack_from("<H", config, offset + 6)
    return tuple(name for bit, name in enumerate(_ACS_CONTROLS) if control & 1 << bit)


def serial_number(config: bytes) -> str | None:
    """Return the device serial number as lspci prints it; None without a readable capability."""
    offset = _extended_capability(config, _EXT_CAP_SERIAL_NUMBER)
    if offset is None or offset + 12 > len(config):
        return None
    return config[offset + 4 : offset + 12][::-1].hex("-")


def slot_power_watts(config: bytes) -> float | None:
    """Return the power limit of a port's slot in watts; None if it has none or is unreadable."""
    offset = _capability(config, _CAP_EXPRESS)
    if offset is None or offset + 0x18 > len(config):
        return None
    flags, slot = struct.unpack_from("<H", config, offset + 2)[0], None
    if flags & 0x0100:
        (slot,) = struct.unpack_from("<I", config, offset + 0x14)
    if not slot:
        return None
    value, scale = slot >> 7 & 0xFF, slot >> 15 & 0x3
    # Values from F0h mean limits above 239 W (table 7-27).
    if value >= 0xF0 and scale == 0:
        return 250.0 + 25.0 * (value - 0xF0) if value <= 0xFE else None
    return float(value) / 10**scale or None


def _extended_capability(config: bytes, capability_id: int) -> int | None:
    """Return the offset of a capability beyond the first 256 bytes."""
    offset, visited = 0x100, set()
    while 0x100 <= offset <= len(config) - 8 and offset not in visited:
        visited.add(offset)
        (header,) = struct.unpack_from("<I", config, offset)
        if header & 0xFFFF == capability_id:
            return offset
        offset = header >> 20
    return None


def _capability(config: bytes, capability_id: int) -> int | None:
    """Return the offset of a capability in the first 256 bytes."""
    if len(config) < 256 or not config[0x06] & 0x10:
        return None
    offset, visited = config[0x34] & 0xFC, set()
    while 0x40 <= offset < 0xFF and offset not in visited:
        visited.add(offset)
        if config[offset] == capability_id:
            return offset
        offset = config[offset + 1] & 0xFC
    return None
