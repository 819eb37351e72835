# SPDX-License-Identifier: Apache-2.0
"""Flavors: what apply plans, the order of its requests, and concurrent changes by others."""

import dataclasses
import re

import pytest

from nova_gpu_passthrough.cloud.apply.change import Action
from nova_gpu_passthrough.fleet.desired_state import DesiredState, ProjectName
from tests.unit.cloud.apply.builders import H100, RESEARCH, TEACHING, flavor
from tests.unit.cloud.apply.direct import Killed, away

SPECS = flavor().extra_specs


def _desired(*flavors):
    return DesiredState("paris", flavors=flavors, aliases={"h100": H100})


@pytest.fixture
def nova(direct):
    return direct.nova


@pytest.fixture
def made(nova):
    """A flavor that someone created by hand."""

    def make(name="gpu.h100.1", vcpus=16, ram=131072, disk=40, specs=SPECS, **options):
        created = nova.add_flavor(name, vcpus, ram, disk, **options)
        created["extra_specs"] = dict(specs)
        return created

    return make


@pytest.fixture
def server(nova):
    """A server with a flavor of the cloud."""
    return lambda name="gpu.h100.1", **options: nova.add_server(
        "train-1", "gpu01", _named(nova)[name], id="server-1", **options
    )


def _named(nova):
    return {one["name"]: one for one in nova.flavors.values()}


def _actions(plan):
    return [(change.name, change.action) for change in plan.changes]


def test_a_private_flavor_is_created_with_extra_specs_and_access(apply, nova):
    assert apply(_desired(flavor())).changes == ()
    (one,) = nova.flavors.values()
    assert (one["vcpus"], one["ram"], one["disk"]) == (16, 131072, 40)
    assert not one["os-flavor-access:is_public"]
    assert (one["extra_specs"], one["access"]) == (SPECS, {"id-research"})


def test_a_public_flavor_is_public(apply, nova):
    assert apply(_desired(flavor(projects=None))).changes == ()
    assert _named(nova)["gpu.h100.1"]["os-flavor-access:is_public"]


def test_a_flavor_for_nobody_is_private(apply, nova):
    apply(_desired(flavor(projects=())))
    (one,) = nova.flavors.values()
    assert (one["os-flavor-access:is_public"], one["access"]) == (False, set())


def test_extra_specs_are_exactly_those_of_the_file(apply, nova, made):
    made(public=False, specs={**SPECS, "hw:cpu_policy": "shared", "mine": "1", "a b:c.d": "2"})
    assert apply(_desired(flavor())).changes == ()
    assert _named(nova)["gpu.h100.1"]["extra_specs"] == SPECS


def test_access_is_as_the_file_says(apply, nova, made):
    made(public=False, access=["id-teaching", "gone"])
    apply(_desired(flavor()))
    assert _named(nova)["gpu.h100.1"]["access"] == {"id-research"}


def test_flavors_without_gpus_of_the_fleet_are_ignored(direct, made):
    made("m1.small", specs={"pci_passthrough:alias": "nic:1"})
    assert direct.plan(_desired()).changes == ()
    assert direct.plan(_desired()).skipped == ()


@pytest.mark.parametrize("value", ["h100", "h100:1:2", "h100:one", "h100:1,", "h100:0", ""])
def test_an_alias_string_that_requests_nothing_of_nova_is_ignored(direct, made, value):
    made("broken", specs={"pci_passthrough:alias": value})
    assert direct.plan(_desired()).skipped == ()


@pytest.mark.parametrize(
    ("specs", "what"),
    [
        ({"pci_passthrough:alias": "nic:1, h100:2"}, "alias h100"),
        ({f"resources:{H100}": "1"}, H100),
        ({f"resources2:{H100}": "1"}, H100),
        ({f"resources_GPU:{H100}": "1"}, H100),
    ],
)
def test_foreign_flavors_with_gpus_of_the_fleet_are_reported_and_pruned(
    apply, nova, made, reasons, specs, what
):
    made("mine", specs=specs)
    apply(_desired())
    assert reasons(_desired()) == [
        f"flavor mine: not in the fleet file, and it requests {what}; --prune deletes it"
    ]
    apply(_desired(), prune=True)
    assert nova.flavors == {}


def test_a_flavor_that_apply_created_is_deleted(apply, nova):
    apply(_desired(flavor(), flavor("gpu.h100.2")))
    apply(_desired(flavor()))
    assert set(_named(nova)) == {"gpu.h100.1"}


def test_an_adopted_flavor_stays(apply, nova, made, reasons):
    made(specs={})
    public = flavor(projects=None)
    apply(_desired(dataclasses.replace(public, extra_specs={})))
    apply(_desired())
    assert reasons(_desired()) == [
        (
            "flavor gpu.h100.1: not in the fleet file any more, and it existed before apply; "
            "--prune deletes it"
        )
    ]
    apply(_desired(), prune=True)
    assert nova.flavors == {}


@pytest.mark.parametrize(
    "changes", [{"vcpus": 8}, {"ram_mib": 1024}, {"disk_gib": 10}, {"projects": None}]
)
def test_a_flavor_with_another_size_is_replaced_with_the_same_id(direct, apply, nova, changes):
    apply(_desired(flavor()))
    flavor_id = _named(nova)["gpu.h100.1"]["id"]
    state = _desired(dataclasses.replace(flavor(), **changes))
    assert _actions(direct.plan(state)) == [("gpu.h100.1", Action.REPLACE)]
    assert apply(state).changes == ()
    one = nova.flavors[flavor_id]
    sizes = one["vcpus"], one["ram"], one["disk"]
    file = state.flavors[0]
    assert sizes == (file.vcpus, file.ram_mib, file.disk_gib)
    assert one["os-flavor-access:is_public"] == (file.projects is None)
    assert one["extra_specs"] == SPECS


@pytest.mark.parametrize("key", ["swap", "OS-FLV-EXT-DATA:ephemeral"])
def test_additional_disks_are_a_difference(direct, made, key):
    made()[key] = 5
    (change,) = direct.plan(_desired(flavor(projects=None))).changes
    assert change.action is Action.REPLACE
    assert 5 in change.before.values()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"vcpus": 8, "ram_mib": 1024}, "vcpus, ram_mib stay as they are"),
        ({"extra_specs": {**SPECS, "hw:numa_nodes": "2"}}, "hw:numa_nodes stays as it is"),
        ({"projects": None}, "public stays as it is"),
    ],
)
def test_a_flavor_in_use_is_not_changed(direct, apply, nova, server, reasons, changes, what):
    apply(_desired(flavor()))
    server()
    state = _desired(dataclasses.replace(flavor(), **changes))
    assert direct.plan(state).changes == ()
    assert reasons(state) == [
        (
            "flavor gpu.h100.1: 1 server uses it (such as train-1, server-1), so "
            f"{what}; add --change-used to do it anyway"
        )
    ]
    assert apply(state, change_used=True).skipped == ()
    assert direct.plan(state).changes == ()


def test_access_to_a_flavor_in_use_is_changed(direct, apply, nova, server, reasons):
    apply(_desired(flavor()))
    server()
    state = _desired(flavor(projects=(TEACHING,), vcpus=8, ram_mib=1024, hw__x="1"))
    assert apply(state).changes == ()
    one = _named(nova)["gpu.h100.1"]
    assert (one["vcpus"], one["extra_specs"], one["access"]) == (16, SPECS, {"id-teaching"})
    assert len(reasons(state)) == 1


def test_servers_are_listed_only_if_a_flavor_would_change(direct, apply):
    apply(_desired(flavor()))
    apply(_desired(flavor(projects=(TEACHING,))))
    assert not [what for what in direct.requested if "/servers" in what]


def test_a_flavor_in_use_is_not_deleted(direct, apply, nova, server, reasons):
    apply(_desired(flavor()))
    server()
    apply(_desired())
    assert reasons(_desired(), prune=True) == [
        (
            "flavor gpu.h100.1: not in the fleet file, but 1 server uses it (such as "
            "train-1, server-1); add --change-used to do it anyway"
        )
    ]
    apply(_desired(), change_used=True)
    assert nova.flavors == {}


def test_many_servers_are_not_all_counted(direct, apply, nova, reasons):
    apply(_desired(flavor()))
    for number in range(101):
        nova.add_server(f"s{number}", "gpu01", _named(nova)["gpu.h100.1"])
    (reason,) = reasons(_desired())
    assert "100 or more servers use it (such as s0, " in reason


def test_an_unknown_project_is_skipped(direct, apply, nova, reasons):
    state = _desired(
        flavor(projects=(RESEARCH, ProjectName("lab"))),
        flavor("gpu.h100.2", projects=(ProjectName("lab"),)),
    )
    apply(state)
    assert _named(nova)["gpu.h100.1"]["access"] == {"id-research"}
    assert reasons(state) == [
        f"flavor {name}: there is no project lab, so it gets no access; run apply again once it "
        "exists"
        for name in ("gpu.h100.1", "gpu.h100.2")
    ]
    direct.keystone.add_project("lab")
    apply(state)
    assert _named(nova)["gpu.h100.2"]["access"] == {"id-lab"}


def test_another_flavor_of_the_same_name_is_adopted(direct, apply, nova, made):
    apply(_desired(flavor()))
    nova.flavors.clear()
    made("gpu.h100.1", specs={})
    apply(_desired())
    assert set(_named(nova)) == {"gpu.h100.1"}


def test_a_flavor_deleted_by_hand_gets_its_id_back(apply, nova):
    apply(_desired(flavor()))
    (flavor_id,) = nova.flavors
    nova.flavors.clear()
    apply(_desired(flavor()))
    assert set(nova.flavors) == {flavor_id}


def test_an_id_that_another_flavor_has_is_not_reused(apply, nova, made):
    apply(_desired(flavor()))
    (flavor_id,) = nova.flavors
    nova.flavors[flavor_id]["name"] = "renamed"
    apply(_desired(flavor()))
    assert set(_named(nova)) == {"gpu.h100.1", "renamed"}


@pytest.fixture
def changing(direct):
    """Return the changing requests, with ID in place of ids."""
    return lambda: [
        re.sub(r"/flavors/[^/]+", "/flavors/ID", what)
        for what in direct.requested
        if not what.startswith("GET")
    ]


def _when(nth, error):
    def fail(now, what):
        if now == nth:
            raise error

    return fail


def test_no_tenant_sees_a_private_flavor_without_its_extra_specs(direct, nova, changing):
    def look(number, what):
        for one in nova.flavors.values():
            if one["access"] or one["os-flavor-access:is_public"]:
                assert one["extra_specs"] == flavor().extra_specs

    direct.after = look
    direct.apply(_desired(flavor()))
    assert changing() == [
        "POST /flavors",
        "POST /flavors/ID/os-extra_specs",
        "POST /flavors/ID/action",
    ]


def test_new_extra_specs_are_set_before_old_ones_are_deleted(direct, nova, changing):
    direct.apply(_desired(flavor(old="1")))
    direct.requested.clear()
    direct.apply(_desired(flavor(new="1")))
    assert changing() == [
        "POST /flavors/ID/os-extra_specs",
        "DELETE /flavors/ID/os-extra_specs/old",
    ]


def test_extra_specs_unknown_to_validation_are_set_without_it(direct, nova):
    versions = {}
    answer = nova.answer

    def watch(method, path, request):
        if method == "POST" and path.endswith("os-extra_specs"):
            versions[request.headers["X-OpenStack-Nova-API-Version"]] = request.body
        return answer(method, path, request)

    nova.answer = watch
    state = _desired(flavor(hw__maxphysaddr_mode="emulate", hw__maxphysaddr_bits="46"))
    direct.apply(state)
    assert set(versions) == {"2.98", "2.85"}
    assert "maxphysaddr" not in versions["2.98"]
    assert "cpu_policy" not in versions["2.85"]
    assert direct.plan(state).changes == ()


def test_a_flavor_with_refused_extra_specs_is_deleted(direct, nova):
    def refuse(method, path, request):
        if method == "POST" and path.endswith("os-extra_specs"):
            return 400, {"badRequest": {"code": 400, "message": "no valid extra spec"}}
        return answer(method, path, request)

    answer, nova.answer = nova.answer, refuse
    (refusal,) = direct.apply(_desired(flavor(projects=None)))
    assert "no valid extra spec" in refusal.reason
    assert refusal.reason.startswith("flavor gpu.h100.1: ")
    assert nova.flavors == {}
    assert direct.record.entries == ()


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_incomplete_flavor_is_completed(direct, nova, nth, moment):
    setattr(direct, moment, _when(nth, Killed()))
    with pytest.raises(Killed):
        direct.apply(_desired(flavor()))
    setattr(direct, moment, lambda number, what: None)
    assert direct.apply(_desired(flavor())) == []
    (one,) = nova.flavors.values()
    assert (one["extra_specs"], one["access"]) == (flavor().extra_specs, {"id-research"})
    direct.apply(_desired())
    assert nova.flavors == {}


def test_an_incomplete_flavor_is_completed_even_if_it_is_in_use(direct, nova):
    """A public one is there for a moment before it has its extra specs."""
    direct.after = _when(1, Killed())
    with pytest.raises(Killed):
        direct.apply(_desired(flavor(projects=None)))
    direct.after = lambda number, what: None
    (one,) = nova.flavors.values()
    nova.add_server("early", "gpu01", one)
    direct.apply(_desired(flavor(projects=None)))
    assert one["extra_specs"] == flavor().extra_specs


def test_an_interrupted_replacement_keeps_the_id(direct, nova):
    direct.apply(_desired(flavor()))
    (flavor_id,) = nova.flavors
    direct.after = _when(direct.changing + 1, Killed())
    with pytest.raises(Killed):
        direct.apply(_desired(flavor(vcpus=8)))
    assert nova.flavors == {}
    direct.after = lambda number, what: None
    direct.apply(_desired(flavor(vcpus=8)))
    assert {n: one["vcpus"] for n, one in nova.flavors.items()} == {flavor_id: 8}


def test_a_flavor_created_without_a_response_is_created_by_apply(direct, nova):
    direct.after = _when(1, away())
    direct.apply(_desired(flavor()))
    direct.apply(_desired())
    assert nova.flavors == {}


def test_a_flavor_created_by_others_at_the_same_time_is_refused(direct, nova):
    def make(number, what):
        if what == "POST /flavors":
            nova.add_flavor("gpu.h100.1", 1)

    direct.before = make
    (refusal,) = direct.apply(_desired(flavor()))
    assert "already exists" in refusal.reason
    direct.before = lambda number, what: None
    direct.apply(_desired())
    assert len(nova.flavors) == 1


def test_access_changed_by_others_at_the_same_time_is_accepted(direct, nova):
    direct.apply(_desired(flavor(projects=())))
    (one,) = nova.flavors.values()

    def give(number, what):
        if what.endswith("action"):
            one["access"].add("id-research")

    direct.before = give
    assert direct.apply(_desired(flavor())) == []

    def take(number, what):
        if what.endswith("action"):
            one["access"].clear()

    direct.before = take
    assert direct.apply(_desired(flavor(projects=()))) == []


def test_a_flavor_deleted_during_a_run_is_left_to_the_next_run(direct, nova):
    direct.apply(_desired(flavor()))
    api_answer = nova.answer

    def forget(method, path, request):
        if method == "GET" and re.fullmatch(r"/flavors/[0-9a-f-]{36}", path):
            nova.flavors.clear()
        return api_answer(method, path, request)

    nova.answer = forget
    assert direct.apply(_desired(flavor(new="1"))) == []
    assert nova.flavors == {}
    nova.answer = api_answer
    direct.apply(_desired(flavor(new="1")))
    assert len(nova.flavors) == 1


def test_a_flavor_deleted_by_others_loses_its_entry(direct, nova):
    direct.apply(_desired(flavor()))
    direct.before = lambda number, what: nova.flavors.clear()
    assert direct.apply(_desired()) == []
    assert direct.record.entries == ()
