# SPDX-License-Identifier: Apache-2.0
"""Nova's own quotas."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.desired import Desired, ProjectName
from tests.unit.cloud.apply.builders import RESEARCH, TEACHING, limit
from tests.unit.cloud.apply.direct import Killed


def _desired(*limits):
    return Desired("paris", limits=limits, quota_driver="nova")


def _cores(value, project=None):
    return limit(value, project, "cores")


@pytest.fixture
def nova(direct):
    return direct.nova


def test_defaults_and_projects_get_their_quotas(apply, nova):
    assert apply(_desired(_cores(100), _cores(200, RESEARCH))).changes == ()
    assert nova.default_quotas["cores"] == 100
    assert nova.quotas["id-research"]["cores"] == 200


def test_what_is_so_already_is_not_set(direct):
    assert direct.plan(_desired(_cores(20), _cores(20, RESEARCH))).changes == ()


def test_a_quota_that_is_the_default_by_chance_stays_when_the_default_changes(direct, apply, nova):
    wanted = _desired(_cores(100), _cores(20, RESEARCH))
    assert "+cores of research: 20\n" in direct.plan(wanted).diff()
    assert "-cores of research: 20 (the default)\n" in direct.plan(wanted).diff()
    assert apply(wanted).changes == ()
    assert nova.quotas["id-research"]["cores"] == 20


def test_so_it_does_after_a_kill(direct, apply, nova):
    def kill(number, what):
        raise Killed

    direct.after = kill
    wanted = _desired(_cores(100), _cores(20, RESEARCH))
    with pytest.raises(Killed):
        direct.apply(wanted)
    direct.after = lambda number, what: None
    assert apply(wanted).changes == ()
    assert nova.quotas["id-research"]["cores"] == 20


def test_servers_that_are_there_do_not_keep_a_quota_up(direct, apply, nova):
    asked = []
    answer = nova.answer

    def watch(method, path, request):
        if method == "PUT":
            asked.append(request.body)
        return answer(method, path, request)

    nova.answer = watch
    apply(_desired(_cores(0, RESEARCH)))
    assert asked == ['{"quota_set": {"cores": 0, "force": true}}']


def test_what_the_file_names_no_more_gets_the_default(direct, apply, nova):
    apply(_desired(_cores(100), _cores(200, RESEARCH), _cores(5, TEACHING)))
    wanted = _desired(_cores(50), _cores(5, TEACHING))
    assert "+cores of research: 50 (the default)\n" in direct.plan(wanted).diff()
    assert apply(wanted).changes == ()
    assert nova.quotas["id-research"]["cores"] == 50
    assert nova.quotas["id-teaching"]["cores"] == 5


def test_a_default_that_the_file_names_no_more_stays(apply, nova, reasons):
    apply(_desired(_cores(100)))
    assert reasons(_desired()) == [
        "default quota cores: not in the fleet file any more, and stays 100: Nova cannot unset it"
    ]
    assert apply(_desired()).held == ()
    assert nova.default_quotas["cores"] == 100


def test_a_project_that_is_not_there_waits(reasons):
    assert reasons(_desired(_cores(1, ProjectName("lab")))) == [
        "project quota cores: there is no project lab; run apply again once there is"
    ]


def test_a_nova_that_takes_no_quotas_is_told(direct, nova):
    answer = nova.answer

    def ignore(method, path, request):
        return answer("GET" if method == "PUT" else method, path, request)

    nova.answer = ignore
    words = "Nova accepts 100 and keeps 20, so .quota. driver .* is not nova.quota.DbQuotaDriver"
    with pytest.raises(UserError, match=f"{words}.*; 0 of 1 changes done; run it again to go on"):
        direct.apply(_desired(_cores(100)))


def test_a_fleet_that_turns_to_novas_quotas_takes_its_unified_limits_away(direct, apply):
    apply(Desired("paris", limits=(limit(0), limit(4, RESEARCH))))
    assert apply(_desired(_cores(100))).changes == ()
    assert direct.keystone.limits == direct.keystone.registered_limits == {}


def test_a_fleet_that_turns_to_unified_limits_forgets_novas(direct, apply, nova):
    apply(_desired(_cores(100), _cores(200, RESEARCH)))
    apply(Desired("paris", limits=(limit(0),)))
    assert [entry.kind for entry in direct.record.entries] == ["registered limit"]
    assert nova.quotas["id-research"]["cores"] == 200
