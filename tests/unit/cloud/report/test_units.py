# SPDX-License-Identifier: Apache-2.0
"""One device may stand for several GPUs."""

import pytest
from hypothesis import given

from nova_gpu_passthrough.cloud.report import units
from nova_gpu_passthrough.cloud.view.model import Device, DeviceState, Resource
from tests.unit.cloud.report.fleets import FREE, IN_USE, MISSING, RESERVED, STUCK
from tests.unit.cloud.report.strategies import devices


def _device(state, **resource):
    return Device("h", "0000:01:00.0", "CUSTOM_GPU", "X", state, resource=Resource(**resource))


@pytest.mark.parametrize("state", DeviceState)
def test_a_whole_gpu_counts_as_one_in_its_state(state):
    assert units.by_state(_device(state, total=1)) == {state: 1}


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
    assert units.by_state(device) == counts


def test_a_device_without_inventory_is_one():
    assert units.by_state(_device(RESERVED, total=0)) == {RESERVED: 1}


def test_more_used_than_there_are_is_no_more_than_all():
    assert units.by_state(_device(IN_USE, total=2, used=3)) == {IN_USE: 2}


@given(devices())
def test_no_device_counts_as_none_or_twice(device):
    counts = units.by_state(device)
    assert counts.total() == max(1, device.resource.total) == units.with_unit(device)
    assert min(counts.values()) > 0


def test_all_of_several_devices():
    found = units.total([_device(FREE, total=8, used=3), _device(STUCK, total=1, used=1)])
    assert found == {FREE: 5, IN_USE: 3, STUCK: 1}
    assert units.total([]) == {}
