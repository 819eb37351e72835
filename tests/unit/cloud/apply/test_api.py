# SPDX-License-Identifier: Apache-2.0
import pytest
import requests
import tenacity
from openstack import exceptions

from nova_gpu_passthrough.cloud.apply.api import Api, Interrupted, Refused


@pytest.fixture
def api(cloud):
    made = Api(cloud.connection())
    made.attempts, made.pause = 3, tenacity.wait_none()
    return made


TRAIT = ("placement", "PUT", "/traits/CUSTOM_A")


def test_what_was_done_is_told(api):
    answer = api.send(*TRAIT)
    assert (answer.status, answer.again) == (201, False)
    assert api.placement("/traits", name="in:CUSTOM_A") == {"traits": ["CUSTOM_A"]}


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_service_that_is_away_for_a_moment_is_asked_again(cloud, api, status):
    cloud.fail("PUT .*traits", status, times=2)
    answer = api.send(*TRAIT)
    assert (answer.status, answer.again) == (201, True)


def test_a_connection_that_breaks_is_made_again(cloud, api):
    cloud.fail("PUT .*traits", error=requests.ConnectionError("broken"), times=2)
    assert api.send(*TRAIT).again


def test_a_service_that_stays_away_is_given_up(cloud, api):
    cloud.fail("PUT .*traits", 503)
    with pytest.raises(exceptions.HttpException):
        api.send(*TRAIT)
    assert len(cloud.asked("PUT .*traits")) == 3


def test_who_only_looks_is_told_at_once(cloud):
    cloud.fail("GET .*traits", 503)
    with pytest.raises(exceptions.HttpException):
        Api(cloud.connection()).placement("/traits")
    assert len(cloud.asked("GET .*traits")) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_a_refusal_is_not_argued_with(cloud, api, status):
    cloud.fail("PUT .*traits", status)
    with pytest.raises(Refused) as caught:
        api.send(*TRAIT)
    assert (caught.value.status, caught.value.again) == (status, False)
    assert len(cloud.asked("PUT .*traits")) == 1


def test_a_refusal_after_an_answer_that_was_lost_says_so(cloud, api):
    cloud.fail("PUT .*traits", 502, times=1)
    cloud.fail("PUT .*traits", 409)
    with pytest.raises(Refused) as caught:
        api.send(*TRAIT)
    assert caught.value.again


def test_who_is_not_let_in_is_not_refused_but_stopped(cloud, api):
    cloud.fail("PUT .*traits", 401)
    with pytest.raises(exceptions.HttpException):
        api.send(*TRAIT)


def test_what_is_asked_and_not_there_is_no_refusal(api):
    with pytest.raises(exceptions.NotFoundException):
        api.nova("/flavors/none")


def test_no_request_is_begun_after_ctrl_c(cloud, api):
    api.stop.set()
    with pytest.raises(Interrupted):
        api.send(*TRAIT)
    assert cloud.asked("PUT") == []


def test_ctrl_c_ends_the_waiting_for_a_service(cloud, api):
    cloud.fail("PUT .*traits", 503)
    api.attempts, api.pause = 100, tenacity.wait_fixed(3600)

    def press(state):
        api.stop.set()

    api.pause = lambda state: press(state) or 3600.0
    with pytest.raises(Interrupted):
        api.send(*TRAIT)
    assert len(cloud.asked("PUT .*traits")) == 1


def test_the_callers_domain_is_told(api):
    assert api.home_domain == "default"


def test_nova_is_asked_in_words_that_it_knows(cloud, api):
    seen = []
    answer = cloud.nova.answer

    def watch(method, path, request):
        seen.append(request.headers["X-OpenStack-Nova-API-Version"])
        return answer(method, path, request)

    cloud.nova.answer = watch
    api.nova("/os-aggregates")
    assert seen in (["2.98"], [b"2.98"])
