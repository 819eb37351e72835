# SPDX-License-Identifier: Apache-2.0
"""Every error of a cloud becomes one sentence without secrets."""

import keystoneauth1.exceptions as ksa
import pytest
import requests
from openstack import exceptions as sdk

from nova_gpu_passthrough.cloud import failures
from nova_gpu_passthrough.errors import UserError


def failure(work, connection, role="admin"):
    """Return the message for the exception that a function raises."""
    with pytest.raises(UserError) as caught, failures.as_user_errors(role, lambda: connection):
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
    with failures.as_user_errors(connection=cloud.connection):
        assert services(cloud.connection()) == []


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("x"), KeyboardInterrupt()])
def test_other_exceptions_pass_unchanged(error):
    with pytest.raises(type(error)) as caught, failures.as_user_errors():
        raise error
    assert caught.value is error


def test_user_errors_pass_unchanged():
    with pytest.raises(UserError, match="^mine$"), failures.as_user_errors():
        raise UserError("mine")


def test_a_wrong_password(cloud):
    text = failure(services, cloud.connection(password="secret-and-wrong"))
    assert text.startswith(
        "Keystone at http://cloud/identity/v3/auth/tokens does not authenticate user admin"
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
    assert "needs role admin; user alice has only reader, member in project admin (" in text
    assert "Nova refused GET http://cloud/compute/v2.1/os-services" in text
    assert message in text


def test_a_token_without_a_project(cloud):
    connection = cloud.connection("alice")
    cloud.keystone.project = None
    cloud.fail("GET .*os-services", 403, {"forbidden": {"code": 403, "message": "no"}})
    text = failure(services, connection, role="reader")
    assert text.startswith(
        "needs role reader in a project; user alice has reader, member outside any ("
    )


def test_a_policy_that_refuses_the_role(cloud):
    cloud.fail("GET .*resource_providers", 403, {"errors": [{"status": 403, "detail": "No,\n no"}]})
    text = failure(providers, cloud.connection())
    assert text.startswith("user admin has role admin in project admin, but Placement refused")
    assert "Placement refused" in text
    assert "No, no" in text


def test_an_old_api(cloud):
    cloud.nova_maximum = "2.90"

    def work(connection):
        sdk.raise_from_response(connection.compute.get("/os-services", microversion="2.98"))

    text = failure(work, cloud.connection())
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
    assert f"is not available at the moment ({status})" in text


@pytest.mark.parametrize("status", [400, 404, 409, 413, 429])
def test_any_other_refusal_has_the_message_of_the_service(cloud, status):
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


def test_an_unknown_host_name(cloud):
    cloud.fail("/identity/", error=refused(-2, "Name or service not known"))
    text = failure(services, cloud.connection())
    assert text.endswith("cannot be reached: Name or service not known")


@pytest.mark.parametrize("error", [requests.ReadTimeout("timed out"), requests.ConnectTimeout()])
def test_a_service_that_hangs(cloud, error):
    cloud.fail("GET .*os-services", error=error)
    text = failure(services, cloud.connection())
    assert text.startswith("Nova at http://cloud/compute/v2.1/os-services")
    assert "it did not respond in time" in text


def test_an_untrusted_certificate(cloud):
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
    assert f"has no endpoint of {failures._SERVICE_NAMES[kind]}" in text
    assert "region 'RegionOne' and interface public" in text


def test_an_interface_that_is_not_in_the_catalogue(cloud):
    assert "interface admin" in failure(services, cloud.connection(interface="admin"))


@pytest.mark.parametrize("body", [{}, {"hello": "world"}])
def test_a_url_that_is_not_keystone(cloud, body):
    cloud.fail("/identity/", 200, body)
    text = failure(services, cloud.connection())
    assert text.endswith("is the URL right?")
    assert "http://cloud/identity" in text


def test_a_response_that_is_not_json(cloud):
    def work(connection):
        raise requests.JSONDecodeError("Expecting value", "<html>", 0)

    assert failure(work, cloud.connection()).endswith("is the URL right?")


def test_an_error_without_a_connection():
    error = ksa.ConnectFailure("Unable to establish connection to http://a:5000/v3: no")
    text = failures.error_text(error)
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
def test_other_errors_keep_their_message(error):
    assert failures.error_text(error) == "the cloud: odd thing"


def test_secrets_are_masked():
    error = sdk.SDKException("http://joe:hush@cloud/ {'password': 'hush', 'auth_token': 'hush'}")
    text = failures.error_text(error)
    assert "hush" not in text
    assert "http://cloud/" in text


def test_pages_of_html_are_cut():
    assert len(failures.error_text(sdk.SDKException("x" * 5000))) < 700


def test_a_missing_password(cloud):
    connection = cloud.connection()
    connection.session.auth._password = None
    assert failure(services, connection).endswith("lacks password: see its key auth")


def raised(error, cause=None):
    """Return an exception that was raised while another one was handled."""
    try:
        if cause is None:
            raise error
        try:
            raise cause
        except BaseException:
            raise error  # noqa: B904
    except BaseException as error_with_context:
        return error_with_context


REFUSED = ConnectionRefusedError(111, "Connection refused")


@pytest.mark.parametrize(
    "error",
    [
        REFUSED,
        requests.ConnectionError(REFUSED),
        requests.ConnectionError(requests.ConnectionError(REFUSED)),
        raised(ValueError("x"), REFUSED),
        raised(ValueError("x"), raised(KeyError("y"), requests.ConnectionError(REFUSED))),
    ],
)
def test_the_system_s_reason_is_found_in_the_causes(error):
    assert failures.system_reason(error) == "Connection refused"


def test_a_timeout():
    assert (
        failures.system_reason(requests.ReadTimeout("Read timed out."))
        == "it did not respond in time"
    )


def test_otherwise_the_innermost_message():
    assert failures.system_reason(raised(ValueError("x"), KeyError("y"))) == "'y'"
    assert failures.system_reason(KeyError()) == "KeyError"


def test_circular_causes_end():
    error = ValueError("x")
    error.__context__ = error
    assert list(failures.cause_chain(error)) == [error]


@pytest.mark.parametrize(
    ("error", "url"),
    [
        (ValueError("Unable to connect to http://a:1/b: no"), "http://a:1/b"),
        (ValueError("HTTPConnectionPool(host='a')"), ""),
        (requests.Timeout(request=requests.Request("GET", "https://c/d")), "https://c/d"),
        (raised(ValueError("x"), ValueError("see https://e/f.")), "https://e/f"),
    ],
)
def test_the_url_of_a_failed_request(error, url):
    assert failures.failed_url(error) == url


class FakeResponse:
    """A response with a body."""

    def __init__(self, body):
        self.body = body

    def json(self):
        if self.body is None:
            raise ValueError
        return self.body


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"forbidden": {"code": 403, "message": "a\nb"}}, "a b"),
        ({"errors": [{"status": 403, "title": "t", "detail": "d"}]}, "d"),
        ({"error": {"code": 404, "message": "m"}}, "m"),
        ({"errors": []}, ""),
        ({"hello": "world"}, ""),
        ([1], ""),
        (None, ""),
    ],
)
def test_the_detail_of_a_response(body, detail):
    assert failures.response_detail(FakeResponse(body)) == detail


def test_no_response_has_no_detail():
    assert failures.response_detail(None) == ""
