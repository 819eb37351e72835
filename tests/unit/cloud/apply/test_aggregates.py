# SPDX-License-Identifier: Apache-2.0
"""Host aggregates: what apply changes in Nova and in Placement."""

import uuid

import pytest

from nova_gpu_passthrough.cloud.apply import aggregates
from nova_gpu_passthrough.cloud.apply.writer import CloudWriter, RequestRefused
from nova_gpu_passthrough.fleet.desired_state import DesiredState
from tests.unit.cloud.apply.builders import aggregate


def _desired(*aggregates):
    return DesiredState("paris", aggregates=aggregates)


@pytest.fixture
def nova(direct):
    return direct.nova


@pytest.fixture
def made(nova):
    """An aggregate that someone created by hand."""

    def make(name="gpu-h100", hosts=(), zone=None, **metadata):
        aggregate_id = 50 + len(nova.aggregates)
        named = {"availability_zone": zone} if zone else {}
        nova.aggregates[str(aggregate_id)] = {
            "id": aggregate_id,
            "uuid": f"uuid-{aggregate_id}",
            "name": name,
            "availability_zone": zone,
            "hosts": list(hosts),
            "metadata": {**metadata, **named},
        }
        return nova.aggregates[str(aggregate_id)]

    return make


def _members(nova):
    return {
        one["name"]: (sorted(one["hosts"]), one["metadata"]) for one in nova.aggregates.values()
    }


def test_an_aggregate_is_created_with_zone_metadata_and_hosts(apply, nova):
    assert apply(_desired(aggregate(zone="paris", gpu_mode="passthrough"))).changes == ()
    metadata = {"availability_zone": "paris", "gpu_mode": "passthrough"}
    assert _members(nova) == {"gpu-h100": (["gpu01", "gpu02"], metadata)}


def test_foreign_hosts_and_metadata_stay(direct, apply, nova, made, reasons):
    direct.add_hosts("other")
    made(hosts=["other"], theirs="1", ours="old")
    apply(_desired(aggregate(hosts=["gpu01"], ours="new")))
    assert _members(nova) == {"gpu-h100": (["gpu01", "other"], {"theirs": "1", "ours": "new"})}
    assert reasons(_desired(aggregate(hosts=["gpu01"], ours="new"))) == [
        "aggregate gpu-h100: host other is in it and not in the fleet file; --prune deletes it"
    ]


def test_pruning_removes_foreign_hosts_and_keeps_foreign_metadata(direct, apply, nova, made):
    direct.add_hosts("other")
    made(hosts=["other"], theirs="1")
    apply(_desired(aggregate(hosts=["gpu01"])), prune=True)
    assert _members(nova) == {"gpu-h100": (["gpu01"], {"theirs": "1"})}


def test_hosts_and_metadata_that_apply_added_are_removed(apply, nova):
    apply(_desired(aggregate(a="1", b="2")))
    apply(_desired(aggregate(hosts=["gpu02"], b="2")))
    assert _members(nova) == {"gpu-h100": (["gpu02"], {"b": "2"})}


def test_adopted_metadata_stays_unless_pruned(apply, nova, made, reasons):
    made(a="1")
    apply(_desired(aggregate(a="1")))
    apply(_desired(aggregate()))
    assert _members(nova)["gpu-h100"][1] == {"a": "1"}
    assert reasons(_desired(aggregate())) == [
        (
            "aggregate gpu-h100: metadata a: not in the fleet file any more, and it "
            "existed before apply; --prune deletes it"
        )
    ]
    apply(_desired(aggregate()), prune=True)
    assert _members(nova)["gpu-h100"][1] == {}


def test_an_aggregate_that_apply_created_is_emptied_and_deleted(apply, nova):
    apply(_desired(aggregate(zone="paris")))
    apply(_desired())
    assert nova.aggregates == {}


def test_an_adopted_aggregate_loses_only_what_apply_added(direct, apply, nova, made):
    direct.add_hosts("other")
    made(hosts=["other"], theirs="1")
    apply(_desired(aggregate(hosts=["gpu01", "other"], ours="1")))
    apply(_desired())
    assert _members(nova) == {"gpu-h100": (["other"], {"theirs": "1"})}
    apply(_desired(), prune=True)
    assert nova.aggregates == {}


def test_an_aggregate_with_foreign_hosts_is_not_deleted(direct, apply, nova, reasons):
    apply(_desired(aggregate(hosts=["gpu01"])))
    (one,) = nova.aggregates.values()
    one["hosts"].append("gpu02")
    apply(_desired())
    assert _members(nova) == {"gpu-h100": (["gpu02"], {})}
    assert reasons(_desired()) == [
        (
            "aggregate gpu-h100: not in the fleet file any more, but it has hosts that "
            "apply did not add: gpu02; --prune deletes it"
        )
    ]


def test_a_host_without_nova_compute_waits(direct, apply, nova, reasons):
    state = _desired(aggregate(hosts=["gpu01", "gpu09"]))
    apply(state)
    assert _members(nova)["gpu-h100"][0] == ["gpu01"]
    assert reasons(state) == [
        (
            "aggregate gpu-h100: there is no nova-compute on host gpu09 yet; run apply "
            "again once it is up"
        )
    ]
    direct.add_hosts("gpu09")
    apply(state)
    assert _members(nova)["gpu-h100"][0] == ["gpu01", "gpu09"]


def test_a_refused_host_does_not_stop_the_others(direct, nova):
    """Its nova-compute is there, but nova-manage cell_v2 discover_hosts has not run."""

    def lose(number, what):
        nova.services[:] = [one for one in nova.services if one["host"] != "gpu01"]

    direct.before = lose
    (refusal,) = direct.apply(_desired(aggregate()))
    assert "Compute host gpu01 could not be found" in refusal.reason
    assert _members(nova)["gpu-h100"][0] == ["gpu02"]
    assert not direct.record.complete


def test_an_aggregate_created_by_others_at_the_same_time_is_adopted(direct, apply, nova, made):
    def make(number, what):
        if what == "POST /os-aggregates":
            made(theirs="1")

    direct.before = make
    apply(_desired(aggregate(zone="paris", ours="1")))
    direct.before = lambda number, what: None
    apply(_desired())
    # Nova takes no zone away.
    assert _members(nova) == {"gpu-h100": ([], {"theirs": "1", "availability_zone": "paris"})}


def test_another_aggregate_of_the_same_name_is_adopted(apply, nova, made):
    apply(_desired(aggregate(hosts=[])))
    nova.aggregates.clear()
    made(theirs="1")
    apply(_desired())
    assert _members(nova) == {"gpu-h100": ([], {"theirs": "1"})}


def test_a_zone_changes_although_a_host_leaves_both_aggregates(direct, apply, nova):
    """The host leaves the other aggregate first: Nova keeps a host in one zone."""
    apply(_desired(aggregate("a", zone="old"), aggregate("b", zone="old")))
    state = _desired(aggregate("a", hosts=()), aggregate("b", hosts=["gpu01"], zone="new"))
    assert apply(state).changes == ()
    assert _members(nova)["b"] == (["gpu01"], {"availability_zone": "new"})


STATE = DesiredState("paris", aggregates=(aggregate(zone="paris"),))


AGGREGATE_UUID = str(uuid.UUID(int=7))


def _missing(api, hosts):
    return aggregates.missing_providers(api, AGGREGATE_UUID, hosts)


def _add(api, provider):
    aggregates.add_provider(api, AGGREGATE_UUID, provider)


def _lose(direct, host):
    """Remove a host from all of Placement's aggregates."""
    direct.names.lost |= {(one["uuid"], host) for one in direct.nova.aggregates.values()}


@pytest.fixture
def api(cloud):
    return CloudWriter(cloud.connection())


def test_a_host_unknown_to_placement_is_added_there(direct, apply):
    apply(STATE)
    _lose(direct, "gpu02")
    plan = direct.plan(STATE)
    assert plan.diff().splitlines()[-2:] == ["-hosts_unknown_to_placement:", "-- gpu02"]
    assert apply(STATE).changes == ()
    assert direct.names.lost == set()


def test_a_host_that_joins_while_placement_is_unavailable_is_added_there(direct, apply):
    added = []

    def lose(number, what):
        if what.endswith("action") and not added:
            added.append(what)
            _lose(direct, "gpu01")

    direct.after = lose
    assert apply(STATE).changes == ()
    assert added
    assert direct.names.lost == set()


def test_hosts_outside_the_fleet_file_are_not_added_to_placement(direct, apply):
    direct.add_hosts("other")
    apply(STATE)
    (one,) = direct.nova.aggregates.values()
    one["hosts"].append("other")
    _lose(direct, "other")
    assert direct.plan(STATE).changes == ()


def test_providers_in_the_real_placement(cloud, api):
    here, there = (cloud.placement.add_host(name) for name in ("gpu01", "gpu02"))
    hosts = ["gpu01", "gpu02", "not-yet-there"]
    assert _missing(api, hosts) == {
        "gpu01": here,
        "gpu02": there,
    }
    _add(api, here)
    assert _missing(api, hosts) == {"gpu02": there}
    other = str(uuid.UUID(int=8))
    aggregates.add_provider(api, other, here)
    assert _missing(api, hosts) == {"gpu02": there}
    before = len(cloud.requested("PUT"))
    _add(api, here)
    assert len(cloud.requested("PUT")) == before


def test_a_node_name_may_differ_from_its_host(cloud, api):
    provider = cloud.placement.add_host("gpu01.example.org")
    cloud.nova.add_compute("gpu01", provider, "gpu01.example.org")
    assert _missing(api, ["gpu01"]) == {"gpu01": provider}
    _add(api, provider)
    assert _missing(api, ["gpu01"]) == {}


@pytest.mark.parametrize(("times", "succeeds"), [(2, True), (None, False)])
def test_concurrent_updates_of_a_provider_are_retried(cloud, api, times, succeeds):
    provider = cloud.placement.add_host("gpu01")
    cloud.fail("PUT .*/aggregates", 409, times=times)
    if succeeds:
        _add(api, provider)
    else:
        with pytest.raises(RequestRefused):
            _add(api, provider)
    assert (_missing(api, ["gpu01"]) == {}) == succeeds


def test_a_host_is_found_by_a_node_name_with_domain(cloud, api):
    node = cloud.placement.add_host("gpu01.example.org")
    cloud.nova.add_compute("gpu01", node, node="gpu01.example.org")
    assert _missing(api, ["gpu01", "gpu02"]) == {"gpu01": node}
