# SPDX-License-Identifier: Apache-2.0
"""Flavors, as they become in Nova."""

import dataclasses

import pytest

from nova_gpu_passthrough.cloud.apply.change import Action
from nova_gpu_passthrough.fleet.desired import Desired, ProjectName
from tests.unit.cloud.apply.builders import H100, RESEARCH, TEACHING, flavor

SPECS = flavor().extra_specs


def _desired(*flavors):
    return Desired("paris", flavors=flavors, aliases={"h100": H100})


@pytest.fixture
def nova(direct):
    return direct.nova


@pytest.fixture
def made(nova):
    """A flavor that somebody made by hand."""

    def make(name="gpu.h100.1", vcpus=16, ram=131072, disk=40, specs=SPECS, **options):
        found = nova.add_flavor(name, vcpus, ram, disk, **options)
        found["extra_specs"] = dict(specs)
        return found

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


def test_a_private_flavor_is_made_with_extra_specs_and_access(apply, nova):
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


def test_a_flavor_of_the_file_has_its_extra_specs_and_no_others(apply, nova, made):
    made(public=False, specs={**SPECS, "hw:cpu_policy": "shared", "mine": "1", "a b:c.d": "2"})
    assert apply(_desired(flavor())).changes == ()
    assert _named(nova)["gpu.h100.1"]["extra_specs"] == SPECS


def test_access_is_as_the_file_says(apply, nova, made):
    made(public=False, access=["id-teaching", "gone"])
    apply(_desired(flavor()))
    assert _named(nova)["gpu.h100.1"]["access"] == {"id-research"}


def test_other_flavors_are_none_of_its_business(direct, made):
    made("m1.small", specs={"pci_passthrough:alias": "nic:1"})
    assert direct.plan(_desired()).changes == ()
    assert direct.plan(_desired()).held == ()


@pytest.mark.parametrize(
    ("specs", "what"),
    [
        ({"pci_passthrough:alias": "nic:1, h100:2"}, "alias h100"),
        ({f"resources:{H100}": "1"}, H100),
        ({f"resources2:{H100}": "1"}, H100),
        ({f"resources_GPU:{H100}": "1"}, H100),
    ],
)
def test_other_flavors_with_the_fleets_gpus_are_told_and_pruned(
    apply, nova, made, reasons, specs, what
):
    made("mine", specs=specs)
    apply(_desired())
    assert reasons(_desired()) == [
        f"flavor mine: not in the fleet file, and asks for {what}; --prune deletes it"
    ]
    apply(_desired(), prune=True)
    assert nova.flavors == {}


def test_what_it_made_goes_with_the_fleet_file(apply, nova):
    apply(_desired(flavor(), flavor("gpu.h100.2")))
    apply(_desired(flavor()))
    assert set(_named(nova)) == {"gpu.h100.1"}


def test_what_was_there_stays(apply, nova, made, reasons):
    made(specs={})
    wanted = flavor(projects=None)
    apply(_desired(dataclasses.replace(wanted, extra_specs={})))
    apply(_desired())
    assert reasons(_desired()) == [
        (
            "flavor gpu.h100.1: not in the fleet file any more, and there before apply; "
            "--prune deletes it"
        )
    ]
    apply(_desired(), prune=True)
    assert nova.flavors == {}


@pytest.mark.parametrize(
    "changes", [{"vcpus": 8}, {"ram_mib": 1024}, {"disk_gib": 10}, {"projects": None}]
)
def test_what_nova_never_changes_is_made_anew_with_the_same_id(direct, apply, nova, changes):
    apply(_desired(flavor()))
    number = _named(nova)["gpu.h100.1"]["id"]
    wanted = _desired(dataclasses.replace(flavor(), **changes))
    assert _actions(direct.plan(wanted)) == [("gpu.h100.1", Action.REPLACE)]
    assert apply(wanted).changes == ()
    one = nova.flavors[number]
    sizes = one["vcpus"], one["ram"], one["disk"]
    file = wanted.flavors[0]
    assert sizes == (file.vcpus, file.ram_mib, file.disk_gib)
    assert one["os-flavor-access:is_public"] == (file.projects is None)
    assert one["extra_specs"] == SPECS


@pytest.mark.parametrize("key", ["swap", "OS-FLV-EXT-DATA:ephemeral"])
def test_other_disks_than_the_files_are_a_difference(direct, made, key):
    made()[key] = 5
    (change,) = direct.plan(_desired(flavor(projects=None))).changes
    assert change.action is Action.REPLACE
    assert 5 in change.before.values()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"vcpus": 8, "ram_mib": 1024}, "vcpus, ram_mib"),
        ({"extra_specs": {**SPECS, "hw:numa_nodes": "2"}}, "hw:numa_nodes"),
        ({"projects": None}, "public"),
    ],
)
def test_a_flavor_that_servers_have_is_not_changed(
    direct, apply, nova, server, reasons, changes, what
):
    apply(_desired(flavor()))
    server()
    wanted = _desired(dataclasses.replace(flavor(), **changes))
    assert direct.plan(wanted).changes == ()
    assert reasons(wanted) == [
        (
            "flavor gpu.h100.1: 1 server has it (such as train-1, server-1), so that "
            f"{what} stay as they are; add --change-used to do it all the same"
        )
    ]
    assert apply(wanted, change_used=True).held == ()
    assert direct.plan(wanted).changes == ()


def test_access_to_a_flavor_that_servers_have_is_changed(direct, apply, nova, server, reasons):
    apply(_desired(flavor()))
    server()
    wanted = _desired(flavor(projects=(TEACHING,), vcpus=8, ram_mib=1024, hw__x="1"))
    assert apply(wanted).changes == ()
    one = _named(nova)["gpu.h100.1"]
    assert (one["vcpus"], one["extra_specs"], one["access"]) == (16, SPECS, {"id-teaching"})
    assert len(reasons(wanted)) == 1


def test_servers_are_asked_for_only_where_a_flavor_would_change(direct, apply):
    apply(_desired(flavor()))
    apply(_desired(flavor(projects=(TEACHING,))))
    assert not [what for what in direct.asked if "/servers" in what]


def test_a_flavor_that_servers_have_is_not_deleted(direct, apply, nova, server, reasons):
    apply(_desired(flavor()))
    server()
    apply(_desired())
    assert reasons(_desired(), prune=True) == [
        (
            "flavor gpu.h100.1: not in the fleet file, but 1 server has it (such as "
            "train-1, server-1); add --change-used to do it all the same"
        )
    ]
    apply(_desired(), change_used=True)
    assert nova.flavors == {}


def test_many_servers_are_not_all_counted(direct, apply, nova, reasons):
    apply(_desired(flavor()))
    for number in range(101):
        nova.add_server(f"s{number}", "gpu01", _named(nova)["gpu.h100.1"])
    (reason,) = reasons(_desired())
    assert "100 or more servers have it (such as s0, " in reason


def test_a_project_that_is_not_there_waits(direct, apply, nova, reasons):
    wanted = _desired(
        flavor(projects=(RESEARCH, ProjectName("lab"))),
        flavor("gpu.h100.2", projects=(ProjectName("lab"),)),
    )
    apply(wanted)
    assert _named(nova)["gpu.h100.1"]["access"] == {"id-research"}
    assert reasons(wanted) == [
        (
            "flavor gpu.h100.1, gpu.h100.2: there is no project lab, so that it gets no "
            "access; run apply again once there is"
        )
    ]
    direct.keystone.add_project("lab")
    apply(wanted)
    assert _named(nova)["gpu.h100.2"]["access"] == {"id-lab"}


def test_a_flavor_of_the_same_name_made_by_hand_is_somebody_elses(direct, apply, nova, made):
    apply(_desired(flavor()))
    nova.flavors.clear()
    made("gpu.h100.1", specs={})
    apply(_desired())
    assert set(_named(nova)) == {"gpu.h100.1"}


def test_a_flavor_that_was_deleted_by_hand_gets_its_id_back(apply, nova):
    apply(_desired(flavor()))
    (number,) = nova.flavors
    nova.flavors.clear()
    apply(_desired(flavor()))
    assert set(nova.flavors) == {number}


def test_an_id_that_another_flavor_has_by_now_is_left_to_it(apply, nova, made):
    apply(_desired(flavor()))
    (number,) = nova.flavors
    nova.flavors[number]["name"] = "renamed"
    apply(_desired(flavor()))
    assert set(_named(nova)) == {"gpu.h100.1", "renamed"}
