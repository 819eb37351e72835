# SPDX-License-Identifier: Apache-2.0
"""In which order requests change flavors, and what if somebody else changes them, too."""

import re

import pytest

from nova_gpu_passthrough.fleet.desired import Desired
from tests.unit.cloud.apply.builders import H100, flavor
from tests.unit.cloud.apply.direct import Killed, away


def _desired(*flavors):
    return Desired("paris", flavors=flavors, aliases={"h100": H100})


@pytest.fixture
def nova(direct):
    return direct.nova


@pytest.fixture
def changing(direct):
    """What was asked to be changed, without ids."""
    return lambda: [
        re.sub(r"/flavors/[^/]+", "/flavors/ID", what)
        for what in direct.asked
        if not what.startswith("GET")
    ]


def _when(number, error):
    def strike(now, what):
        if now == number:
            raise error

    return strike


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


def test_new_extra_specs_come_before_old_ones_go(direct, nova, changing):
    direct.apply(_desired(flavor(old="1")))
    direct.asked.clear()
    direct.apply(_desired(flavor(new="1")))
    assert changing() == [
        "POST /flavors/ID/os-extra_specs",
        "DELETE /flavors/ID/os-extra_specs/old",
    ]


def test_extra_specs_that_novas_validation_forgot_are_set_without_it(direct, nova):
    versions = {}
    answer = nova.answer

    def watch(method, path, request):
        if method == "POST" and path.endswith("os-extra_specs"):
            versions[request.headers["X-OpenStack-Nova-API-Version"]] = request.body
        return answer(method, path, request)

    nova.answer = watch
    wanted = _desired(flavor(hw__maxphysaddr_mode="emulate", hw__maxphysaddr_bits="46"))
    direct.apply(wanted)
    assert set(versions) == {"2.98", "2.85"}
    assert "maxphysaddr" not in versions["2.98"]
    assert "cpu_policy" not in versions["2.85"]
    assert direct.plan(wanted).changes == ()


def test_a_flavor_whose_extra_specs_nova_refuses_is_not_left_without_them(direct, nova):
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


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_flavor_that_was_not_finished_is_finished(direct, nova, number, moment):
    setattr(direct, moment, _when(number, Killed()))
    with pytest.raises(Killed):
        direct.apply(_desired(flavor()))
    setattr(direct, moment, lambda number, what: None)
    assert direct.apply(_desired(flavor())) == []
    (one,) = nova.flavors.values()
    assert (one["extra_specs"], one["access"]) == (flavor().extra_specs, {"id-research"})
    direct.apply(_desired())
    assert nova.flavors == {}


def test_a_flavor_that_was_not_finished_is_finished_even_if_a_server_has_it(direct, nova):
    """A public one is there for a moment before it has its extra specs."""
    direct.after = _when(1, Killed())
    with pytest.raises(Killed):
        direct.apply(_desired(flavor(projects=None)))
    direct.after = lambda number, what: None
    (one,) = nova.flavors.values()
    nova.add_server("early", "gpu01", one)
    direct.apply(_desired(flavor(projects=None)))
    assert one["extra_specs"] == flavor().extra_specs


def test_a_flavor_that_was_being_made_anew_keeps_its_id(direct, nova):
    direct.apply(_desired(flavor()))
    (number,) = nova.flavors
    direct.after = _when(direct.changing + 1, Killed())
    with pytest.raises(Killed):
        direct.apply(_desired(flavor(vcpus=8)))
    assert nova.flavors == {}
    direct.after = lambda number, what: None
    direct.apply(_desired(flavor(vcpus=8)))
    assert {n: one["vcpus"] for n, one in nova.flavors.items()} == {number: 8}


def test_a_flavor_made_without_hearing_of_it_is_its_own(direct, nova):
    direct.after = _when(1, away())
    direct.apply(_desired(flavor()))
    direct.apply(_desired())
    assert nova.flavors == {}


def test_a_flavor_that_somebody_made_at_the_same_time_is_theirs(direct, nova):
    def make(number, what):
        if what == "POST /flavors":
            nova.add_flavor("gpu.h100.1", 1)

    direct.before = make
    (refusal,) = direct.apply(_desired(flavor()))
    assert "already exists" in refusal.reason
    direct.before = lambda number, what: None
    direct.apply(_desired())
    assert len(nova.flavors) == 1


def test_access_that_somebody_gave_or_took_at_the_same_time_is_no_obstacle(direct, nova):
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


def test_a_flavor_that_somebody_deletes_meanwhile_is_left_to_the_next_run(direct, nova):
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


def test_a_flavor_that_somebody_deleted_first_is_gone_all_the_same(direct, nova):
    direct.apply(_desired(flavor()))
    direct.before = lambda number, what: nova.flavors.clear()
    assert direct.apply(_desired()) == []
    assert direct.record.entries == ()
