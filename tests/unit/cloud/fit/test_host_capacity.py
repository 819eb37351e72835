# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from nova_gpu_passthrough.cloud.fit import host_capacity
from nova_gpu_passthrough.cloud.view.model import DeviceState, Resource
from nova_gpu_passthrough.nova_rules.host_capacity import Amount
from nova_gpu_passthrough.nova_rules.why_not import Cause, Stage
from nova_gpu_passthrough.topology.model import Gpu
from tests.unit.cloud import builders, clouds
from tests.unit.generate import builders as inventories

FLEET = clouds.fleet(inventories.hgx("hgx1"), inventories.hgx("hgx2"))
FIRST, SECOND = "0000:20:00.0", "0000:21:00.0"


def units(room):
    return {d.device.address: (d.free, d.reserved, d.in_use) for d in room.devices}


def test_like_hosts_have_equal_rooms():
    assert host_capacity.room(builders.host(FLEET, "hgx1")) == host_capacity.room(
        builders.host(FLEET, "hgx2")
    )


def test_hosts_that_differ_in_use_have_not():
    used = builders.host(FLEET, "hgx2", {FIRST: DeviceState.IN_USE})
    assert host_capacity.room(builders.host(FLEET, "hgx1")) != host_capacity.room(used)


def test_amounts_are_placements():
    amounts = host_capacity.room(builders.host(FLEET, "hgx1")).amounts
    assert amounts["VCPU"].allocation_ratio == 4.0
    assert amounts["DISK_GB"] == Amount(10_000)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (DeviceState.FREE, (1, 0, 0)),
        (DeviceState.IN_USE, (0, 0, 1)),
        (DeviceState.STUCK, (0, 0, 1)),
        (DeviceState.RESERVED, (0, 1, 0)),
    ],
)
def test_devices_are_free_held_back_or_in_use(state, expected):
    room = host_capacity.room(builders.host(FLEET, "hgx1", {FIRST: state}))
    assert units(room)[FIRST] == expected


def test_a_one_time_use_device_is_in_use_and_held_back_at_once():
    host = builders.host(FLEET, "hgx1", {FIRST: DeviceState.IN_USE})
    first = dataclasses.replace(host.devices[0], resource=Resource(1, reserved=1, used=1))
    host = dataclasses.replace(host, devices=(first, *host.devices[1:]))
    assert units(host_capacity.room(host))[FIRST] == (0, 0, 1)


def test_missing_devices_are_not_there():
    host = builders.host(FLEET, "hgx1", {FIRST: DeviceState.MISSING})
    assert FIRST not in units(host_capacity.room(host))


def test_gpus_have_their_topology():
    (gpu, *_) = (
        device.device for device in host_capacity.room(builders.host(FLEET, "hgx1")).devices
    )
    assert gpu == Gpu(
        FIRST, "H100-SXM", 0, ("nvs0", "q0", "p0"), "0000:10:00.0", "0000:20:00", None
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"known": False}, "Nova has no compute node of that name"),
        ({"enabled": False}, "nova-compute is disabled"),
        (
            {"enabled": False, "disabled_reason": "new GPUs"},
            "nova-compute is disabled (new GPUs)",
        ),
        ({"up": False}, "nova-compute is down"),
        ({"provider": None}, "Placement has no resource provider of the host"),
    ],
)
def test_a_closed_host_says_why(changes, words):
    host = dataclasses.replace(builders.host(FLEET, "hgx1"), **changes)
    refused = host_capacity.closed(host)
    assert (refused.cause, refused.stage, refused.detail) == (Cause.HOST, Stage.SERVICE, words)


def test_an_open_host_says_nothing():
    assert host_capacity.closed(builders.host(FLEET, "hgx1")) is None


def test_what_a_server_has_comes_back_without_it():
    one = builders.server("one", 0, range(2, 6), 4096)
    other = builders.server("other", 1, range(10, 12), 4096)
    holders = {FIRST: one.id, SECOND: other.id}
    both = builders.host(FLEET, "hgx1", servers=[one, other], holders=holders)
    alone = builders.host(FLEET, "hgx1", servers=[other], holders={SECOND: other.id})
    left = host_capacity.without_server(
        host_capacity.room(both), both, one.id, [("PCPU", 4), ("MEMORY_MB", 4096)]
    )
    assert left == host_capacity.room(alone)
