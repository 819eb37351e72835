# SPDX-License-Identifier: Apache-2.0
"""Whatever goes wrong with a cloud is told in one sentence, without secrets."""

import keystoneauth1.exceptions as ksa
import pytest
import requests
from openstack import exceptions as sdk

from nova_gpu_passthrough.cloud import failures
from nova_gpu_passthrough.errors import UserError


def failure(work, connection, role="admin"):
    """What is told of the exception that some work raises."""
    with pytest.raises(UserError) as caught, failures.translated(role, lambda: connection):
        work(connection)
    text = str(caught.value)
    assert "\n" not in text
    assert "secret" not in text
    return text


def services(connection):
    return list(connection.compute.services())


def providers(connection):
    return list(connection.placement.resource_providers())


def refused(errno=111, text="Connection refused"):
    """As requests raises it: urllib3's reason holds the system's error."""
    return requests.ConnectionError(OSError(errno, text))


def test_a_success_passes(cloud):
    with failures.translated(connection=cloud.connection):
        assert services(cloud.connection()) == []


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("x"), KeyboardInterrupt()])
def test_other_exceptions_pass_unchanged(error):
    with pytest.raises(type(error)) as caught, failures.translated():
        raise error
    assert caught.value is error


def test_our_own_sentence_passes_unchanged():
    with pytest.raises(UserError, match="^mine$"), failures.translated():
        raise UserError("mine")


def test_a_wrong_password(cloud):
    text = failure(services, cloud.connection(password="secret-and-wrong"))
    assert text.startswith(
        "Keystone at http://cloud/identity/v3/auth/tokens does not let user admin in"
    )


@pytest.mark.parametrize("status", [401, 404])
def test_an_expired_token(cloud, status):
    connection = cloud.connection()
    config = connection.config.config
    config["auth_type"] = "v3token"
    cloud.fail("POST .*/auth/tokens", status, {"error": {"message": "Could not recognize it"}})
    text = failure(services, connection)
    assert "has expired" in text
    assert "openstack token issue" in text


def test_a_service_that_refuses_keystone_s_tokens(cloud):
    connection = cloud.connection()
    services(connection)
    cloud.fail("GET .*os-services", 401, {"error": {"message": "no"}})
    assert "[keystone_authtoken] in Nova's configuration" in failure(services, connection)


def test_a_missing_role(cloud):
    connection = cloud.connection("alice")
    message = "Policy doesn't allow os_compute_api:os-services:list to be performed."
    cloud.fail("GET .*os-services", 403, {"forbidden": {"code": 403, "message": message}})
    text = failure(services, connection, role="admin")
    assert "takes the role admin in a project, and user alice has member, reader in" in text
    assert "Nova refused GET http://cloud/compute/v2.1/os-services" in text
    assert message in text


def test_a_policy_that_is_not_the_role_s(cloud):
    cloud.fail("GET .*resource_providers", 403, {"errors": [{"status": 403, "detail": "No,\n no"}]})
    text = failure(providers, cloud.connection())
    assert text.startswith("user admin may not do this although it has admin, member, reader")
    assert "Placement refused" in text
    assert "No, no" in text


def test_an_api_that_is_too_old(cloud):
    cloud.nova_maximum = "2.90"

    def ask(connection):
        sdk.raise_from_response(connection.compute.get("/os-services", microversion="2.98"))

    text = failure(ask, cloud.connection())
    assert text.startswith("Nova at http://cloud/compute/v2.1/os-services is too old")
    assert "maximum is 2.90" in text


def test_a_service_that_fails_names_its_request(cloud):
    message = "Unexpected API Error."
    cloud.fail("GET .*os-services", 500, {"computeFault": {"code": 500, "message": message}})
    text = failure(services, cloud.connection())
    assert text.startswith("Nova failed at GET http://cloud/compute/v2.1/os-services")
    assert "(500) (request req-" in text
    assert message in text


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_service_that_is_not_available(cloud, status):
    cloud.fail("GET .*os-services", status)
    text = failure(services, cloud.connection())
    assert "Nova at http://cloud/compute/v2.1/os-services" in text
    assert f"is not available just now ({status})" in text


@pytest.mark.parametrize("status", [400, 404, 409, 413, 429])
def test_any_other_refusal_has_the_service_s_own_words(cloud, status):
    cloud.fail("GET .*os-services", status, {"conflict": {"code": status, "message": "my words"}})
    text = failure(services, cloud.connection())
    assert text.startswith("Nova refused GET http://cloud/compute/v2.1/os-services")
    assert f"({status})" in text
    assert text.endswith("my words")


@pytest.mark.parametrize("where", ["identity", "compute"])
def test_a_service_that_cannot_be_reached(cloud, where):
    cloud.fail(f"/{where}/", error=refused())
    text = failure(services, cloud.connection())
    name = {"identity": "Keystone", "compute": "Nova"}[where]
    assert text.startswith(f"{name} at http://cloud/{where}/")
    assert text.endswith("cannot be reached: Connection refused")


def test_placement_that_cannot_be_reached(cloud):
    """Openstacksdk says that it has no supported versions."""
    cloud.fail("/placement", error=refused())
    text = failure(providers, cloud.connection())
    assert text.startswith("Placement at http://cloud/placement")
    assert text.endswith("cannot be reached: Connection refused")


def test_a_name_that_nobody_knows(cloud):
    cloud.fail("/identity/", error=refused(-2, "Name or service not known"))
    text = failure(services, cloud.connection())
    assert text.endswith("cannot be reached: Name or service not known")


@pytest.mark.parametrize("error", [requests.ReadTimeout("timed out"), requests.ConnectTimeout()])
def test_a_service_that_hangs(cloud, error):
    cloud.fail("GET .*os-services", error=error)
    text = failure(services, cloud.connection())
    assert text.startswith("Nova at http://cloud/compute/v2.1/os-services")
    assert "it gave no answer in time" in text


def test_a_certificate_that_nobody_signed(cloud):
    cloud.fail("/identity/", error=requests.exceptions.SSLError("certificate verify failed"))
    text = failure(services, cloud.connection())
    assert "no secure connection" in text
    assert "--os-cacert" in text


def test_a_wrong_region(cloud):
    text = failure(services, cloud.connection(region_name="Mars"))
    assert "has no region 'Mars': its catalogue has RegionOne" in text


@pytest.mark.parametrize(("kind", "work"), [("placement", providers), ("compute", services)])
def test_a_service_that_is_not_in_the_catalogue(cloud, kind, work):
    del cloud.keystone.endpoints[kind]
    text = failure(work, cloud.connection())
    assert f"has no endpoint of {failures._NAMES[kind]}" in text
    assert "region 'RegionOne' and interface public" in text


def test_an_interface_that_is_not_in_the_catalogue(cloud):
    assert "interface admin" in failure(services, cloud.connection(interface="admin"))


@pytest.mark.parametrize("body", [{}, {"hello": "world"}])
def test_a_url_that_is_not_keystone_s(cloud, body):
    cloud.fail("/identity/", 200, body)
    text = failure(services, cloud.connection())
    assert text.endswith("is the URL right?")
    assert "http://cloud/identity" in text


def test_what_does_not_answer_in_json(cloud):
    def ask(connection):
        raise requests.JSONDecodeError("Expecting value", "<html>", 0)

    assert failure(ask, cloud.connection()).endswith("is the URL right?")


def test_what_is_known_without_a_connection():
    error = ksa.ConnectFailure("Unable to establish connection to http://a:5000/v3: no")
    text = failures.sentence(error)
    assert text.startswith("the service at http://a:5000/v3 cannot be reached")


@pytest.mark.parametrize(
    "error",
    [
        ksa.ClientException("odd\nthing"),
        sdk.SDKException("odd thing"),
        sdk.ResourceTimeout("odd  thing"),
        requests.RequestException("odd thing"),
    ],
)
def test_of_the_rest_the_words_themselves(error):
    assert failures.sentence(error) == "the cloud: odd thing"


def test_secrets_are_masked():
    error = sdk.SDKException("http://joe:hush@cloud/ {'password': 'hush', 'auth_token': 'hush'}")
    text = failures.sentence(error)
    assert "hush" not in text
    assert "http://cloud/" in text


def test_pages_of_html_are_cut():
    assert len(failures.sentence(sdk.SDKException("x" * 5000))) < 700


def test_a_password_that_is_not_there(cloud):
    connection = cloud.connection()
    connection.session.auth._password = None
    assert failure(services, connection).endswith("lacks password: see its key auth")
