# SPDX-License-Identifier: Apache-2.0
"""Configuration spaces have valid capability lists and agree with the other files."""

import struct

import pytest

from tests.trees import defects, write
from tests.unit.trees import strategies


def _capabilities(data):
    found, at = {}, data[0x34]
    while at:
        assert at not in found.values()
        found[data[at]] = at
        at = data[at + 1]
    return found


def _extended(data):
    found, at = {}, 0x100
    while at:
        (word,) = struct.unpack_from("<I", data, at)
        if word == 0:
            break
        assert at not in found.values()
        found[word & 0xFFFF] = at
        at = word >> 20
    return found


@pytest.fixture
def spaces(written):
    """A machine, the directories of its functions and their full configuration spaces."""
    machine, root = written
    found = {}
    for address in machine.devices():
        directory = defects.device_directory(root, address)
        found[address] = (directory, (directory / "config").read_bytes())
    return machine, found


def test_headers_agree_with_the_files(spaces):
    machine, found = spaces
    for address, (directory, data) in found.items():
        device = machine.devices()[address]
        if device.physfn is None:
            assert struct.unpack_from("<HH", data, 0) == (device.vendor, device.device)
        assert int.from_bytes(data[9:12], "little") == device.class_code
        assert data[14] & 0x7F == int(device.is_bridge)
        if device.is_bridge:
            assert data[0x19] == int((directory / "secondary_bus_number").read_text())
            assert data[0x19] == int(device.children[0].bus.partition(":")[2], 16)
            assert data[0x19] <= data[0x1A]
            continue
        for index, (start, _, flags) in enumerate(strategies.rows(directory)[:6]):
            if flags & 0x100000:
                assert struct.unpack_from("<Q", data, 0x10 + 4 * index)[0] & ~0xF == start
                assert data[0x10 + 4 * index] & 0xF == flags & 0xF


def test_the_express_capability_agrees_with_link_and_reset(spaces):
    machine, found = spaces
    speeds = {1: 2.5, 2: 5.0, 3: 8.0, 4: 16.0, 5: 32.0}
    for address, (_, data) in found.items():
        device, chain = machine.devices()[address], _capabilities(data)
        assert (0x10 in chain) == (device.kind is not device.kind.CONVENTIONAL)
        if 0x10 not in chain:
            assert len(data) == 256
            continue
        at = chain[0x10]
        (able,) = struct.unpack_from("<I", data, at + 4)
        assert bool(able >> 28 & 1) == ("flr" in device.reset_methods)
        if device.link is not None:
            (can,) = struct.unpack_from("<I", data, at + 0x0C)
            (now,) = struct.unpack_from("<H", data, at + 0x12)
            assert (speeds[can & 0xF], can >> 4 & 0x3F) == (
                device.link.max_speed,
                device.link.max_width,
            )
            assert (speeds[now & 0xF], now >> 4 & 0x3F) == (device.link.speed, device.link.width)


def test_extended_capabilities_agree_with_acs_sriov_and_resizable_bars(spaces):
    machine, found = spaces
    for address, (_, data) in found.items():
        device = machine.devices()[address]
        if len(data) < 4096:
            continue
        chain = _extended(data)
        assert (0x0D in chain) == device.acs
        assert (0x10 in chain) == (device.sriov is not None)
        if device.sriov is not None:
            at = chain[0x10]
            assert struct.unpack_from("<H", data, at + 0x0E)[0] == device.sriov.total
            assert struct.unpack_from("<H", data, at + 0x10)[0] == device.sriov.enabled
            assert struct.unpack_from("<H", data, at + 0x1A)[0] == device.sriov.device
        sizes = {bar.index: bar for bar in device.bars if bar.sizes}
        assert (0x15 in chain) == bool(sizes)
        if sizes:
            at = chain[0x15] + 4
            (first,) = struct.unpack_from("<I", data, at + 4)
            assert first >> 5 & 7 == len(sizes)
            for number in range(len(sizes)):
                able, control = struct.unpack_from("<II", data, at + 8 * number)
                bar = sizes[control & 7]
                assert 1 << 20 + (control >> 8 & 0x3F) == bar.size
                offered = {1 << 20 + bit for bit in range(28) if able >> 4 + bit & 1}
                assert offered == set(bar.sizes)


def test_users_without_privileges_read_64_bytes(tmp_path):
    machine = strategies.small_hgx()
    root = write(machine, tmp_path)
    for address in machine.devices():
        data = (defects.device_directory(root, address) / "config").read_bytes()
        assert len(data) == 64


def test_the_header_of_an_h100_is_the_published_one_except_addresses(tmp_path):
    # The dump that hgx_h100.py names, without the addresses and the command register.
    published = bytes.fromhex("de10302347051000a100020300000000")
    root = write(strategies.small_hgx(), tmp_path)
    data = (defects.device_directory(root, "0000:18:00.0") / "config").read_bytes()
    assert data[:4] + data[6:16] == published[:4] + published[6:]
    assert data[0x2C:0x30] == bytes.fromhex("de10c116")
    assert data[0x34] == 0x40
    assert [data[at] & 0xF for at in (0x10, 0x18, 0x20)] == [0xC, 0xC, 0xC]
