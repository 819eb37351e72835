# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from nova_gpu_passthrough.cloud.fit import free_capacity
from nova_gpu_passthrough.cloud.view.model import DeviceState, Resource
from nova_gpu_passthrough.nova_rules.host_capacity import Amount
from nova_gpu_passthrough.nova_rules.refusal import Constraint, Stage
from nova_gpu_passthrough.topology.model import FreeGpu
from tests.unit.cloud import builders, clouds
from tests.unit.generate import builders as inventories

FLEET = clouds.fleet(inventories.hgx("hgx1"), inventories.hgx("hgx2"))
FIRST, SECOND = "0000:20:00.0", "0000:21:00.0"


def units(capacity):
    return {d.device.address: (d.free, d.reserved, d.in_use, d.stuck) for d in capacity.devices}


def test_equal_hosts_have_equal_capacity():
    assert free_capacity.of_host(builders.host(FLEET, "hgx1")) == free_capacity.of_host(
        builders.host(FLEET, "hgx2")
    )


def test_hosts_with_different_usage_differ():
    used = builders.host(FLEET, "hgx2", {FIRST: DeviceState.IN_USE})
    assert free_capacity.of_host(builders.host(FLEET, "hgx1")) != free_capacity.of_host(used)


def test_amounts_are_those_of_placement():
    amounts = free_capacity.of_host(builders.host(FLEET, "hgx1")).amounts
    assert amounts["VCPU"].allocation_ratio == 4.0
    assert amounts["DISK_GB"] == Amount(10_000)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (DeviceState.FREE, (1, 0, 0, 0)),
        (DeviceState.IN_USE, (0, 0, 1, 0)),
        (DeviceState.STUCK, (0, 0, 0, 1)),
        (DeviceState.RESERVED, (0, 1, 0, 0)),
    ],
)
def test_devices_are_free_reserved_or_in_use(state, expected):
    capacity = free_capacity.of_host(builders.host(FLEET, "hgx1", {FIRST: state}))
    assert units(capacity)[FIRST] == expected


def test_a_one_time_use_device_in_use_is_not_counted_as_reserved():
    host = builders.host(FLEET, "hgx1", {FIRST: DeviceState.IN_USE})
    first = dataclasses.replace(host.devices[0], resource=Resource(1, reserved=1, used=1))
    host = dataclasses.replace(host, devices=(first, *host.devices[1:]))
    assert units(free_capacity.of_host(host))[FIRST] == (0, 0, 1, 0)


def test_missing_devices_are_left_out():
    host = builders.host(FLEET, "hgx1", {FIRST: DeviceState.MISSING})
    assert FIRST not in units(free_capacity.of_host(host))


def test_gpus_have_their_topology():
    (gpu, *_) = (
        device.device for device in free_capacity.of_host(builders.host(FLEET, "hgx1")).devices
    )
    assert gpu == FreeGpu(
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
def test_a_host_that_takes_no_servers_has_a_reason(changes, words):
    host = dataclasses.replace(builders.host(FLEET, "hgx1"), **changes)
    refusal = free_capacity.service_refusal(host)
    assert (refusal.constraint, refusal.stage, refusal.detail) == (
        Constraint.HOST,
        Stage.SERVICE,
        words,
    )


def test_a_host_that_takes_servers_has_no_refusal():
    assert free_capacity.service_refusal(builders.host(FLEET, "hgx1")) is None


def test_the_resources_of_a_server_are_free_without_it():
    one = builders.server("one", 0, range(2, 6), 4096)
    other = builders.server("other", 1, range(10, 12), 4096)
    device_owners = {FIRST: one.id, SECOND: other.id}
    both = builders.host(FLEET, "hgx1", servers=[one, other], device_owners=device_owners)
    alone = builders.host(FLEET, "hgx1", servers=[other], device_owners={SECOND: other.id})
    left = free_capacity.without_server(
        free_capacity.of_host(both), both, one.id, [("PCPU", 4), ("MEMORY_MB", 4096)]
    )
    assert left == free_capacity.of_host(alone)
