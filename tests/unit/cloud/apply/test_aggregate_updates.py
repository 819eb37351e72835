# SPDX-License-Identifier: Apache-2.0
"""Availability zones: apply skips what Nova would refuse, and orders its steps as Nova allows."""

import pytest

from nova_gpu_passthrough.fleet.desired_state import DesiredState
from tests.unit.cloud.apply.builders import aggregate

FLAVOR = {"name": "f", "vcpus": 1, "ram": 1, "disk": 1, "extra_specs": {}}


def _desired(*aggregates):
    return DesiredState("paris", aggregates=aggregates)


def _a(hosts, zone):
    return aggregate("a", hosts, zone)


def _b(hosts, zone):
    return aggregate("b", hosts, zone)


@pytest.fixture
def hosts(direct):
    return lambda: {
        one["name"]: (one["availability_zone"], sorted(one["hosts"]))
        for one in direct.nova.aggregates.values()
    }


@pytest.fixture
def busy(direct):
    return lambda host: direct.nova.add_server("train-1", host, FLAVOR)


def test_a_host_moves_from_one_zone_to_another(apply, hosts):
    apply(_desired(_a(["gpu01"], "north"), _b(["gpu02"], "south")))
    assert apply(_desired(_a(["gpu02"], "north"), _b(["gpu01"], "south"))).changes == ()
    assert hosts() == {"a": ("north", ["gpu02"]), "b": ("south", ["gpu01"])}


def test_a_host_with_servers_does_not_move(apply, hosts, busy, reasons):
    apply(_desired(_a(["gpu01"], "north"), _b(["gpu02"], "south")))
    busy("gpu01")
    state = _desired(_a([], "north"), _b(["gpu01", "gpu02"], "south"))
    assert apply(state).changes == ()
    assert hosts() == {"a": ("north", ["gpu01"]), "b": ("south", ["gpu02"])}
    reason = (
        "host gpu01 has servers and would move from availability zone north to south, which Nova "
        "does not allow: move the servers to other hosts first"
    )
    assert reasons(state) == [f"aggregate {name}: {reason}" for name in "ab"]


def test_a_host_with_servers_enters_no_zone_and_leaves_none(apply, hosts, busy, reasons):
    busy("gpu01")
    apply(_desired(_a(["gpu01", "gpu02"], "north")))
    assert hosts() == {"a": ("north", ["gpu02"])}
    busy("gpu02")
    apply(_desired(_a([], "north")))
    assert hosts() == {"a": ("north", ["gpu02"])}
    (reason,) = reasons(_desired(_a([], "north")))
    assert "would move from availability zone north to none" in reason


def test_a_host_with_servers_changes_aggregates_within_its_zone(apply, hosts, busy):
    apply(_desired(_a(["gpu01"], "north")))
    busy("gpu01")
    assert apply(_desired(_b(["gpu01"], "north"))).changes == ()
    assert hosts() == {"b": ("north", ["gpu01"])}


def test_a_host_with_servers_may_be_in_aggregates_without_zone(apply, hosts, busy):
    busy("gpu01")
    apply(_desired(_a(["gpu01"], None)))
    assert hosts() == {"a": (None, ["gpu01"])}
    apply(_desired(_b(["gpu01"], None)))
    assert hosts() == {"b": (None, ["gpu01"])}


def test_an_aggregate_whose_hosts_have_servers_keeps_its_zone(apply, hosts, busy, reasons):
    apply(_desired(_a(["gpu01"], "north")))
    busy("gpu01")
    assert apply(_desired(_a(["gpu01"], "south"))).changes == ()
    assert hosts() == {"a": ("north", ["gpu01"])}
    assert reasons(_desired(_a(["gpu01"], "south"))) == [
        (
            "aggregate a: Nova does not change the availability zone to south while hosts "
            "in it have servers (gpu01); run apply again once they have none"
        )
    ]


def test_an_aggregate_gets_another_zone(apply, hosts):
    apply(_desired(_a(["gpu01"], "north")))
    assert apply(_desired(_a(["gpu01", "gpu02"], "south"))).changes == ()
    assert hosts() == {"a": ("south", ["gpu01", "gpu02"])}


def test_a_zone_is_not_removed(apply, hosts, reasons):
    apply(_desired(_a(["gpu01"], "north")))
    assert apply(_desired(_a(["gpu01"], None))).changes == ()
    assert hosts() == {"a": ("north", ["gpu01"])}
    (reason,) = reasons(_desired(_a(["gpu01"], None)))
    assert reason.endswith("delete the aggregate and run apply again")


def test_a_host_is_not_put_into_two_zones(direct, apply, hosts, reasons):
    direct.nova.aggregates["9"] = {
        "id": 9,
        "uuid": "uuid-9",
        "name": "theirs",
        "availability_zone": "north",
        "hosts": ["gpu01"],
        "metadata": {"availability_zone": "north"},
    }
    state = _desired(_a(["gpu01", "gpu02"], "south"))
    assert apply(state).changes == ()
    assert hosts()["a"] == ("south", ["gpu02"])
    assert reasons(state) == [
        (
            "aggregate a: host gpu01 would be in the availability zones north and south: "
            "remove it from one"
        )
    ]


def test_an_aggregate_that_shares_hosts_keeps_its_zone(direct, apply, hosts, reasons):
    apply(_desired(_a(["gpu01"], "north")))
    direct.nova.aggregates["9"] = {
        "id": 9,
        "uuid": "uuid-9",
        "name": "theirs",
        "availability_zone": "north",
        "hosts": ["gpu01"],
        "metadata": {"availability_zone": "north"},
    }
    assert apply(_desired(_a(["gpu01"], "south"))).changes == ()
    assert hosts()["a"] == ("north", ["gpu01"])
    assert reasons(_desired(_a(["gpu01"], "south"))) == [
        (
            "aggregate a: its availability zone cannot become south: other aggregates "
            "put its hosts into north"
        )
    ]


def test_servers_are_listed_only_if_zones_change(direct, apply):
    apply(_desired(_a(["gpu01"], None)))
    apply(_desired(_b(["gpu01"], None)))
    assert not [what for what in direct.requested if "/servers" in what]
