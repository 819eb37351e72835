# SPDX-License-Identifier: Apache-2.0
"""Assign addresses to the BARs of PCI functions, and write them in the format of ``resource``.

Flags: include/linux/ioport.h, and the low bits of the BAR itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tests.trees.device import Bar, Device
from tests.trees.model import Machine

IO, MEMORY, READONLY, PREFETCH = 0x100, 0x200, 0x4000, 0x2000
SIZE_ALIGNED, MEMORY_64, UNSET = 0x40000, 0x100000, 0x20000000

#: rows of ``resource`` for a function, and for a bridge (a kernel with CONFIG_PCI_IOV)
ROWS, BRIDGE_ROWS = 13, 17
ROM_ROW, SRIOV_ROW, WINDOW_ROW = 6, 7, 13

_MIB = 1 << 20


@dataclass(frozen=True)
class Row:
    """A line of ``resource``; all 0 if unused."""

    start: int = 0
    end: int = 0
    flags: int = 0

    @property
    def assigned(self) -> bool:
        """Whether it has an address."""
        return bool(self.flags) and not self.flags & UNSET


def flags(bar: Bar) -> int:
    """Return the kernel's resource flags of a BAR."""
    if bar.io:
        return IO | SIZE_ALIGNED | 0x1
    value = MEMORY | SIZE_ALIGNED
    if bar.bits == 64:
        value |= MEMORY_64 | 0x4
    if bar.prefetchable:
        value |= PREFETCH | 0x8
    return value


class _Window:
    """A range of addresses that is allocated from its start."""

    def __init__(self, start: int, end: int) -> None:
        self.next, self._start, self._end = start, start, end

    def contains(self, address: int) -> bool:
        return self._start <= address < self._end

    def align(self, size: int) -> int:
        self.next = min(-(-self.next // size) * size, self._end)
        return self.next

    def allocate(self, size: int, alignment: int) -> int | None:
        start = -(-self.next // alignment) * alignment
        if start + size > self._end:
            return None
        self.next = start + size
        return start


def assign(machine: Machine) -> dict[str, list[Row]]:
    """Return the rows of ``resource`` of every function by address.

    64-bit prefetchable memory starts at 32 TiB, or in the middle of a smaller address space; a BAR
    that does not fit has a size without an address, as after "BAR 2: no space for".
    """
    end = 1 << machine.processor.physical_bits
    windows = {
        "io": _Window(0x1000, 0x10000),
        "low": _Window(0x80000000, 0xFE000000),
        "high": _Window(min(32 << 40, end // 2), end),
    }
    rows: dict[str, list[Row]] = {}
    for bridge in machine.host_bridges:
        _assign(bridge.devices, windows, rows)
    return rows


def _assign(
    devices: Iterable[Device], windows: dict[str, _Window], rows: dict[str, list[Row]]
) -> None:
    for device in devices:
        if not device.is_bridge:
            rows[device.address] = _endpoint(device, windows)
            for virtual in device.virtual_functions():
                rows[virtual.address] = _virtual(device, virtual, rows[device.address])
            continue
        for kind in ("low", "high"):
            windows[kind].align(_MIB)
        _assign(device.children, windows, rows)
        bridge_rows = [Row()] * BRIDGE_ROWS
        below = [row for child in device.children for row in rows[child.address] if row.assigned]
        # A bridge's memory window, then its prefetchable window.
        for offset, (kind, flag) in enumerate(
            (("low", MEMORY), ("high", MEMORY | PREFETCH | MEMORY_64 | 0x1))
        ):
            inside = [row for row in below if windows[kind].contains(row.start)]
            if inside:
                start = min(row.start for row in inside) // _MIB * _MIB
                bridge_rows[WINDOW_ROW + 1 + offset] = Row(
                    start, windows[kind].align(_MIB) - 1, flag
                )
        rows[device.address] = bridge_rows


def _endpoint(device: Device, windows: dict[str, _Window]) -> list[Row]:
    # Row, length, alignment, flags.
    requests = [(bar.index, bar.size, bar.size, flags(bar)) for bar in device.bars]
    if device.rom:
        flag = MEMORY | PREFETCH | READONLY | SIZE_ALIGNED
        requests.append((ROM_ROW, device.rom, device.rom, flag))
    if device.sriov is not None:
        # One BAR for all virtual functions, aligned to the share of one.
        requests += [
            (SRIOV_ROW + bar.index, bar.size * device.sriov.total, bar.size, flags(bar))
            for bar in device.sriov.bars
        ]
    result = [Row()] * ROWS
    # The largest alignment first, which leaves the fewest gaps.
    for row, length, alignment, flag in sorted(requests, key=lambda one: -one[2]):
        if flag & IO:
            window = windows["io"]
        else:
            window = windows["high" if flag & MEMORY_64 and flag & PREFETCH else "low"]
        start = window.allocate(length, alignment)
        if start is None:
            result[row] = Row(0, length - 1, flag | UNSET)
        else:
            result[row] = Row(start, start + length - 1, flag)
    return result


def _virtual(physical: Device, virtual: Device, rows: list[Row]) -> list[Row]:
    """Return a virtual function's share of the physical function's SR-IOV BARs."""
    assert physical.sriov is not None
    result = [Row()] * ROWS
    number = physical.virtual_functions().index(virtual)
    for bar in physical.sriov.bars:
        whole = rows[SRIOV_ROW + bar.index]
        start = whole.start + number * bar.size if whole.assigned else 0
        result[bar.index] = Row(start, start + bar.size - 1, whole.flags)
    return result


def text(rows: Iterable[Row]) -> str:
    """Return the content of ``resource``."""
    return "".join(f"0x{row.start:016x} 0x{row.end:016x} 0x{row.flags:016x}\n" for row in rows)
