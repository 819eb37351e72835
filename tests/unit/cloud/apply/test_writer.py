# SPDX-License-Identifier: Apache-2.0
import pytest
import requests
import tenacity
from openstack import exceptions

from nova_gpu_passthrough.cloud.apply.writer import CloudWriter, Interrupted, RequestRefused


@pytest.fixture
def api(cloud):
    made = CloudWriter(cloud.connection())
    made.attempts, made.pause = 3, tenacity.wait_none()
    return made


TRAIT = ("placement", "PUT", "/traits/CUSTOM_A")


def test_a_response_has_the_status(api):
    answer = api.send(*TRAIT)
    assert (answer.status, answer.retried) == (201, False)
    assert api.placement("/traits", name="in:CUSTOM_A") == {"traits": ["CUSTOM_A"]}


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_request_to_an_unavailable_service_is_retried(cloud, api, status):
    cloud.fail("PUT .*traits", status, times=2)
    answer = api.send(*TRAIT)
    assert (answer.status, answer.retried) == (201, True)


def test_a_broken_connection_is_retried(cloud, api):
    cloud.fail("PUT .*traits", error=requests.ConnectionError("broken"), times=2)
    assert api.send(*TRAIT).retried


def test_retries_end(cloud, api):
    cloud.fail("PUT .*traits", 503)
    with pytest.raises(exceptions.HttpException):
        api.send(*TRAIT)
    assert len(cloud.requested("PUT .*traits")) == 3


def test_readers_do_not_retry(cloud):
    cloud.fail("GET .*traits", 503)
    with pytest.raises(exceptions.HttpException):
        CloudWriter(cloud.connection()).placement("/traits")
    assert len(cloud.requested("GET .*traits")) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_a_refusal_is_not_retried(cloud, api, status):
    cloud.fail("PUT .*traits", status)
    with pytest.raises(RequestRefused) as caught:
        api.send(*TRAIT)
    assert (caught.value.status, caught.value.retried) == (status, False)
    assert len(cloud.requested("PUT .*traits")) == 1


def test_a_refusal_after_a_lost_response_is_marked(cloud, api):
    cloud.fail("PUT .*traits", 502, times=1)
    cloud.fail("PUT .*traits", 409)
    with pytest.raises(RequestRefused) as caught:
        api.send(*TRAIT)
    assert caught.value.retried


def test_failed_authentication_is_not_a_refusal(cloud, api):
    cloud.fail("PUT .*traits", 401)
    with pytest.raises(exceptions.HttpException):
        api.send(*TRAIT)


def test_a_missing_object_is_not_a_refusal(api):
    with pytest.raises(exceptions.NotFoundException):
        api.nova("/flavors/none")


def test_no_request_is_sent_after_ctrl_c(cloud, api):
    api.stop.set()
    with pytest.raises(Interrupted):
        api.send(*TRAIT)
    assert cloud.requested("PUT") == []


def test_ctrl_c_ends_the_pause_between_retries(cloud, api):
    cloud.fail("PUT .*traits", 503)
    api.attempts, api.pause = 100, tenacity.wait_fixed(3600)

    def press(state):
        api.stop.set()

    api.pause = lambda state: press(state) or 3600.0
    with pytest.raises(Interrupted):
        api.send(*TRAIT)
    assert len(cloud.requested("PUT .*traits")) == 1


def test_the_domain_of_the_callers_project(api):
    assert api.project_domain_id == "default"


def test_requests_to_nova_have_a_microversion(cloud, api):
    seen = []
    answer = cloud.nova.answer

    def watch(method, path, request):
        seen.append(request.headers["X-OpenStack-Nova-API-Version"])
        return answer(method, path, request)

    cloud.nova.answer = watch
    api.nova("/os-aggregates")
    assert seen in (["2.98"], [b"2.98"])
