# SPDX-License-Identifier: Apache-2.0
"""Host aggregates, as they become in Nova."""

import pytest

from nova_gpu_passthrough.fleet.desired import Desired
from tests.unit.cloud.apply.builders import aggregate


def _desired(*aggregates):
    return Desired("paris", aggregates=aggregates)


@pytest.fixture
def nova(direct):
    return direct.nova


@pytest.fixture
def made(nova):
    """An aggregate that somebody made by hand."""

    def make(name="gpu-h100", hosts=(), zone=None, **metadata):
        number = 50 + len(nova.aggregates)
        named = {"availability_zone": zone} if zone else {}
        nova.aggregates[str(number)] = {
            "id": number,
            "uuid": f"uuid-{number}",
            "name": name,
            "availability_zone": zone,
            "hosts": list(hosts),
            "metadata": {**metadata, **named},
        }
        return nova.aggregates[str(number)]

    return make


def _found(nova):
    return {
        one["name"]: (sorted(one["hosts"]), one["metadata"]) for one in nova.aggregates.values()
    }


def test_an_aggregate_is_made_with_zone_metadata_and_hosts(apply, nova):
    assert apply(_desired(aggregate(zone="paris", gpu_mode="passthrough"))).changes == ()
    metadata = {"availability_zone": "paris", "gpu_mode": "passthrough"}
    assert _found(nova) == {"gpu-h100": (["gpu01", "gpu02"], metadata)}


def test_others_hosts_and_metadata_are_left_alone(direct, apply, nova, made, reasons):
    direct.add_hosts("other")
    made(hosts=["other"], theirs="1", ours="old")
    apply(_desired(aggregate(hosts=["gpu01"], ours="new")))
    assert _found(nova) == {"gpu-h100": (["gpu01", "other"], {"theirs": "1", "ours": "new"})}
    assert reasons(_desired(aggregate(hosts=["gpu01"], ours="new"))) == [
        "aggregate gpu-h100: host other is in it and not in the fleet file; --prune deletes it"
    ]


def test_pruning_takes_out_others_hosts_and_still_leaves_their_metadata(direct, apply, nova, made):
    direct.add_hosts("other")
    made(hosts=["other"], theirs="1")
    apply(_desired(aggregate(hosts=["gpu01"])), prune=True)
    assert _found(nova) == {"gpu-h100": (["gpu01"], {"theirs": "1"})}


def test_what_it_put_in_goes_with_the_fleet_file(apply, nova):
    apply(_desired(aggregate(a="1", b="2")))
    apply(_desired(aggregate(hosts=["gpu02"], b="2")))
    assert _found(nova) == {"gpu-h100": (["gpu02"], {"b": "2"})}


def test_metadata_that_was_there_before_stays(apply, nova, made, reasons):
    made(a="1")
    apply(_desired(aggregate(a="1")))
    apply(_desired(aggregate()))
    assert _found(nova)["gpu-h100"][1] == {"a": "1"}
    assert reasons(_desired(aggregate())) == [
        (
            "aggregate gpu-h100: metadata a: not in the fleet file any more, and there "
            "before apply; --prune deletes it"
        )
    ]
    apply(_desired(aggregate()), prune=True)
    assert _found(nova)["gpu-h100"][1] == {}


def test_an_aggregate_that_it_made_is_emptied_and_deleted(apply, nova):
    apply(_desired(aggregate(zone="paris")))
    apply(_desired())
    assert nova.aggregates == {}


def test_an_aggregate_that_was_there_only_loses_what_it_put_in(direct, apply, nova, made):
    direct.add_hosts("other")
    made(hosts=["other"], theirs="1")
    apply(_desired(aggregate(hosts=["gpu01", "other"], ours="1")))
    apply(_desired())
    assert _found(nova) == {"gpu-h100": (["other"], {"theirs": "1"})}
    apply(_desired(), prune=True)
    assert nova.aggregates == {}


def test_an_aggregate_to_which_others_added_hosts_is_not_deleted(direct, apply, nova, reasons):
    apply(_desired(aggregate(hosts=["gpu01"])))
    (one,) = nova.aggregates.values()
    one["hosts"].append("gpu02")
    apply(_desired())
    assert _found(nova) == {"gpu-h100": (["gpu02"], {})}
    assert reasons(_desired()) == [
        (
            "aggregate gpu-h100: not in the fleet file any more, but others put hosts into "
            "it: gpu02; --prune deletes it"
        )
    ]


def test_a_host_without_nova_compute_waits(direct, apply, nova, reasons):
    wanted = _desired(aggregate(hosts=["gpu01", "gpu09"]))
    apply(wanted)
    assert _found(nova)["gpu-h100"][0] == ["gpu01"]
    assert reasons(wanted) == [
        (
            "aggregate gpu-h100: there is no nova-compute on host gpu09 yet; run apply "
            "again once it is up"
        )
    ]
    direct.add_hosts("gpu09")
    apply(wanted)
    assert _found(nova)["gpu-h100"][0] == ["gpu01", "gpu09"]


def test_a_host_that_nova_refuses_does_not_keep_the_others_out(direct, nova):
    """Its nova-compute is there, but nova-manage cell_v2 discover_hosts has not run."""

    def lose(number, what):
        nova.services[:] = [one for one in nova.services if one["host"] != "gpu01"]

    direct.before = lose
    (refusal,) = direct.apply(_desired(aggregate()))
    assert "Compute host gpu01 could not be found" in refusal.reason
    assert _found(nova)["gpu-h100"][0] == ["gpu02"]
    assert not direct.record.complete


def test_an_aggregate_that_somebody_made_at_the_same_time_is_theirs(direct, apply, nova, made):
    def make(number, what):
        if what == "POST /os-aggregates":
            made(theirs="1")

    direct.before = make
    apply(_desired(aggregate(zone="paris", ours="1")))
    direct.before = lambda number, what: None
    apply(_desired())
    # Nova takes no zone away.
    assert _found(nova) == {"gpu-h100": ([], {"theirs": "1", "availability_zone": "paris"})}


def test_an_aggregate_of_the_same_name_made_anew_is_somebody_elses(apply, nova, made):
    apply(_desired(aggregate(hosts=[])))
    nova.aggregates.clear()
    made(theirs="1")
    apply(_desired())
    assert _found(nova) == {"gpu-h100": ([], {"theirs": "1"})}
