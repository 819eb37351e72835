# SPDX-License-Identifier: Apache-2.0
"""Hosts of which Placement does not know that they are in an aggregate."""

import uuid

import pytest

from nova_gpu_passthrough.cloud.apply.aggregates import model
from nova_gpu_passthrough.cloud.apply.api import Api, Refused
from nova_gpu_passthrough.fleet.desired import Desired
from tests.unit.cloud.apply.builders import aggregate

WANTED = Desired("paris", aggregates=(aggregate(zone="paris"),))
NUMBER = str(uuid.UUID(int=7))


def _lose(direct, host):
    """Placement forgets where a host is."""
    direct.names.lost |= {(one["uuid"], host) for one in direct.nova.aggregates.values()}


@pytest.fixture
def api(cloud):
    return Api(cloud.connection())


def test_a_host_that_placement_missed_is_told_to_it(direct, apply):
    apply(WANTED)
    _lose(direct, "gpu02")
    plan = direct.plan(WANTED)
    assert plan.diff().splitlines()[-2:] == ["-hosts_unknown_to_placement:", "-- gpu02"]
    assert apply(WANTED).changes == ()
    assert direct.names.lost == set()


def test_a_host_that_joins_while_placement_is_away_is_told_to_it_at_once(direct, apply):
    added = []

    def lose(number, what):
        if what.endswith("action") and not added:
            added.append(what)
            _lose(direct, "gpu01")

    direct.after = lose
    assert apply(WANTED).changes == ()
    assert added
    assert direct.names.lost == set()


def test_hosts_of_others_are_their_own_business(direct, apply):
    direct.add_hosts("other")
    apply(WANTED)
    (one,) = direct.nova.aggregates.values()
    one["hosts"].append("other")
    _lose(direct, "other")
    assert direct.plan(WANTED).changes == ()


def test_the_real_placement_is_asked_and_told(cloud, api):
    here, there = (cloud.placement.add_host(name) for name in ("gpu01", "gpu02"))
    hosts = ["gpu01", "gpu02", "not-yet-there"]
    assert model.missing(api, NUMBER, hosts) == {"gpu01": here, "gpu02": there}
    model.add(api, NUMBER, here)
    assert model.missing(api, NUMBER, hosts) == {"gpu02": there}
    other = str(uuid.UUID(int=8))
    model.add(api, other, here)
    assert model.missing(api, NUMBER, hosts) == {"gpu02": there}
    before = len(cloud.asked("PUT"))
    model.add(api, NUMBER, here)
    assert len(cloud.asked("PUT")) == before


def test_a_node_may_have_another_name_than_its_host(cloud, api):
    provider = cloud.placement.add_host("gpu01.example.org")
    cloud.nova.add_compute("gpu01", provider, "gpu01.example.org")
    assert model.missing(api, NUMBER, ["gpu01"]) == {"gpu01": provider}
    model.add(api, NUMBER, provider)
    assert model.missing(api, NUMBER, ["gpu01"]) == {}


@pytest.mark.parametrize(("times", "told"), [(2, True), (None, False)])
def test_nova_compute_may_write_at_the_same_time(cloud, api, times, told):
    provider = cloud.placement.add_host("gpu01")
    cloud.fail("PUT .*/aggregates", 409, times=times)
    if told:
        model.add(api, NUMBER, provider)
    else:
        with pytest.raises(Refused):
            model.add(api, NUMBER, provider)
    assert (model.missing(api, NUMBER, ["gpu01"]) == {}) == told


def test_a_host_is_found_by_its_node_that_has_a_domain(cloud, api):
    node = cloud.placement.add_host("gpu01.example.org")
    cloud.nova.add_compute("gpu01", node, node="gpu01.example.org")
    assert model.missing(api, NUMBER, ["gpu01", "gpu02"]) == {"gpu01": node}
