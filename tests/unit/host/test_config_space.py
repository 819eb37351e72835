# SPDX-License-Identifier: Apache-2.0
"""Parsing configuration space; any bytes are parsed without an error."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.host import config_space
from tests.trees.config_space import config_space as written
from tests.trees.resources import assign
from tests.unit.audited import HGX, L40S

FULL = 4096


def bridge(secondary, subordinate, multifunction=False, size=64):
    """Return the header of a bridge."""
    data = bytearray(size)
    data[0x0E] = 0x81 if multifunction else 0x01
    data[0x19], data[0x1A] = secondary, subordinate
    return bytes(data)


def with_acs(control, before=0):
    """Return extended capabilities with ACS after some others."""
    data = bytearray(FULL)
    offset = 0x100
    for _ in range(before):
        struct.pack_into("<I", data, offset, 0x0001 | 1 << 16 | (offset + 0x48) << 20)
        offset += 0x48
    struct.pack_into("<IHH", data, offset, 0x000D | 1 << 16, 0x5F, control)
    return bytes(data)


def with_slot(value, scale, slot=True, before=0):
    """Return capabilities with PCI Express after some others."""
    data = bytearray(256)
    data[0x06] = 0x10
    offset = data[0x34] = 0x40
    for _ in range(before):
        data[offset], data[offset + 1] = 0x01, offset + 8
        offset += 8
    data[offset] = 0x10
    struct.pack_into("<H", data, offset + 2, 2 | 4 << 4 | (0x100 if slot else 0))
    struct.pack_into("<I", data, offset + 0x14, value << 7 | scale << 15)
    return bytes(data)


@pytest.mark.parametrize("multifunction", [False, True])
def test_buses_of_a_bridge(multifunction):
    assert config_space.bridge_buses(bridge(0x17, 0x1A, multifunction)) == (0x17, 0x1A)


@pytest.mark.parametrize("config", [b"", bytes(63), bytes(64), b"\xff" * 64, bridge(1, 2)[:63]])
def test_other_functions_have_no_buses(config):
    assert config_space.bridge_buses(config) is None


@pytest.mark.parametrize(
    ("control", "names"),
    [
        (0x00, ()),
        (0x1D, ("SrcValid", "ReqRedir", "CmpltRedir", "UpstreamFwd")),
        (0x3F, ("SrcValid", "TransBlk", "ReqRedir", "CmpltRedir", "UpstreamFwd", "EgressCtrl")),
        (0x40, ()),
    ],
)
@pytest.mark.parametrize("before", [0, 1, 5])
def test_acs_controls(control, names, before):
    assert config_space.acs_controls(with_acs(control, before)) == names


@pytest.mark.parametrize("size", [0, 64, 256, 0x107])
def test_without_privileges_acs_is_unknown(size):
    assert config_space.acs_controls(with_acs(0x1D)[:size]) is None


def test_a_capability_that_points_to_itself_ends_the_list():
    data = bytearray(with_acs(0x1D, before=1))
    struct.pack_into("<I", data, 0x100, 0x0001 | 1 << 16 | 0x100 << 20)
    assert config_space.acs_controls(bytes(data)) is None


def test_a_device_that_does_not_respond_has_no_capabilities():
    dead = b"\xff" * FULL
    assert config_space.acs_controls(dead) is None
    assert config_space.slot_power_watts(dead) is None
    assert config_space.bridge_buses(dead) is None


@pytest.mark.parametrize(
    ("value", "scale", "watts"),
    [
        (75, 0, 75),
        (250, 1, 25),
        (25, 2, 0.25),
        (100, 3, 0.1),
        (239, 0, 239),
        (0xF0, 0, 250),
        (0xF1, 0, 275),
        (0xF2, 0, 300),
        (0xFE, 0, 600),
        (0xFF, 0, None),
        (0xF0, 1, 24),
        (0, 0, None),
    ],
)
@pytest.mark.parametrize("before", [0, 3])
def test_slot_power(value, scale, watts, before):
    result = config_space.slot_power_watts(with_slot(value, scale, before=before))
    assert result == pytest.approx(watts)


def test_a_port_without_a_slot_has_no_slot_power():
    assert config_space.slot_power_watts(with_slot(75, 0, slot=False)) is None


def test_without_privileges_slot_power_is_unknown():
    assert config_space.slot_power_watts(with_slot(75, 0)[:64]) is None


def test_a_capability_at_the_end_is_cut_off():
    data = bytearray(256)
    data[0x06], data[0x34], data[0xF8] = 0x10, 0xF8, 0x10
    assert config_space.slot_power_watts(bytes(data)) is None


@given(st.binary(max_size=5000) | st.binary(max_size=200).map(lambda tail: bytes(0x100) + tail))
def test_any_bytes_are_read(data):
    buses = config_space.bridge_buses(data)
    assert buses is None or all(0 <= bus < 256 for bus in buses)
    controls = config_space.acs_controls(data)
    assert controls is None or len(set(controls)) == len(controls) <= 6
    watts = config_space.slot_power_watts(data)
    assert watts is None or 0 < watts <= 600


@given(st.integers(0, 255), st.integers(0, 3), st.data())
def test_any_damage_to_a_capability_list_is_read(value, scale, data):
    config = bytearray(with_slot(value, scale, before=2))
    for _ in range(data.draw(st.integers(1, 8))):
        config[data.draw(st.integers(0x34, 0x60))] = data.draw(st.integers(0, 255))
    watts = config_space.slot_power_watts(bytes(config))
    assert watts is None or 0 < watts <= 600


@pytest.mark.parametrize("machine", [HGX, L40S], ids=lambda machine: machine.name)
def test_synthetic_machines_are_read_as_built(machine):
    rows = assign(machine)
    for location in machine.locations():
        device = location.device
        config = written(location, rows[device.address], full=True)
        acs = config_space.acs_controls(config)
        assert (acs is not None and "SrcValid" in acs) == device.acs
        assert config_space.slot_power_watts(config) == (device.slot_watts or None)
        assert (config_space.bridge_buses(config) is not None) == device.is_bridge
