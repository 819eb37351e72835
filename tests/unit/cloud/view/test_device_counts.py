# SPDX-License-Identifier: Apache-2.0
"""Counting devices that can have several units."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.cloud.view import device_counts
from nova_gpu_passthrough.cloud.view.model import CloudDevice, DeviceState, Resource
from tests.unit.cloud.report.fleets import FREE, IN_USE, MISSING, RESERVED, STUCK
from tests.unit.cloud.report.strategies import devices


def _device(state, **resource):
    return CloudDevice("h", "0000:01:00.0", "CUSTOM_GPU", "X", state, resource=Resource(**resource))


@pytest.mark.parametrize("state", DeviceState)
def test_a_whole_gpu_counts_once_in_its_state(state):
    assert device_counts.units_by_state(_device(state, total=1)) == {state: 1}


@pytest.mark.parametrize(
    ("device", "counts"),
    [
        (_device(FREE, total=8, used=3), {FREE: 5, IN_USE: 3}),
        (_device(FREE, total=8, used=3, reserved=2), {FREE: 3, IN_USE: 3, RESERVED: 2}),
        (_device(IN_USE, total=8, used=8), {IN_USE: 8}),
        (_device(STUCK, total=2, used=1), {FREE: 1, STUCK: 1}),
        (_device(RESERVED, total=2, reserved=2), {RESERVED: 2}),
        (_device(MISSING, total=4), {MISSING: 4}),
    ],
)
def test_vfs_count_one_by_one(device, counts):
    assert device_counts.units_by_state(device) == counts


def test_a_device_without_inventory_counts_once():
    assert device_counts.units_by_state(_device(RESERVED, total=0)) == {RESERVED: 1}


def test_no_more_than_all_units_are_used():
    assert device_counts.units_by_state(_device(IN_USE, total=2, used=3)) == {IN_USE: 2}


@given(devices())
def test_every_unit_is_counted_by_state_once(device):
    counts = device_counts.units_by_state(device)
    assert counts.total() == max(1, device.resource.total) == device_counts.unit_count(device)
    assert min(counts.values()) > 0


def test_totals_of_several_devices():
    found = device_counts.total_by_state(
        [_device(FREE, total=8, used=3), _device(STUCK, total=1, used=1)]
    )
    assert found == {FREE: 5, IN_USE: 3, STUCK: 1}
    assert device_counts.total_by_state([]) == {}


@given(
    st.lists(
        st.builds(
            lambda state, total, reserved, used: _device(
                state, total=total, reserved=min(reserved, total), used=min(used, total)
            ),
            st.sampled_from([FREE, IN_USE, RESERVED, STUCK]),
            st.integers(0, 4),
            st.integers(0, 4),
            st.integers(0, 4),
        )
    )
)
def test_every_unit_is_counted_once(found):
    counted = device_counts.count(found)
    assert counted.total == sum(device.resource.total for device in found)
    assert counted.free == sum(device.resource.free for device in found)
    assert min(counted.__dict__.values()) >= 0


def test_free_devices_by_numa_node():
    nodes = [None, 1, 0, 1]
    found = [dataclasses.replace(_device(FREE, total=1), numa_node=node) for node in nodes]
    used = dataclasses.replace(_device(IN_USE, total=1, used=1), numa_node=2)
    counts = device_counts.free_by_numa_node([*found, used])
    assert list(counts.items()) == [(0, 1), (1, 2), (2, 0), (None, 1)]
