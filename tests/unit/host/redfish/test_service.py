# SPDX-License-Identifier: Apache-2.0
"""The whole way to a management controller over a real socket, and all that can go wrong on it.

The answers are synthetic, in the shape of DMTF's schemas; test_emulator.py has another's server.
"""

import logging
import socket
import sys

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host import redfish
from nova_gpu_passthrough.host.redfish import service
from nova_gpu_passthrough.host.redfish.service import Login, base_url, find_login
from nova_gpu_passthrough.inventory.findings import Severity
from nova_gpu_passthrough.inventory.host import Chassis
from tests.unit.host.redfish import servers
from tests.unit.host.redfish.loopback import Server, certificate
from tests.unit.host.redfish.servers import CHASSIS, ROOT

SECRET = "s3cret-Pa55"
LOGIN = Login("auditor", SECRET)


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch, tmp_path):
    """No proxy, login or home of whoever runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "REDFISH_USERNAME", "REDFISH_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("NETRC", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Certificate and key of a server."""
    return certificate(tmp_path_factory.mktemp("certificate"))


def failure(url, **options):
    """The sentence that reading ends with: one line, with the URL and without the password."""
    with pytest.raises(UserError) as raised:
        redfish.read(url, **options)
    sentence = str(raised.value)
    assert url in sentence
    assert SECRET not in sentence
    assert "\n" not in sentence and len(sentence) < 300
    return sentence


def test_legacy_resources_become_a_chassis_and_findings():
    with Server(servers.legacy()) as server:
        chassis, findings = redfish.read(server.url)
    assert chassis == Chassis(4210.5, 13200, {"Inlet": 24, "GPU 1": 61.5})
    assert [finding.id for finding in findings] == [
        "redfish.system",
        "redfish.temperature_fine",
        "redfish.cooling_fine",
        "redfish.supply_fine",
        "redfish.power_fine",
    ]
    assert {finding.severity for finding in findings} == {Severity.OK}
    assert all(finding.source.startswith(server.url + "/redfish/v1/") for finding in findings)


def test_their_successors_give_the_like():
    with Server(servers.current()) as server:
        chassis, findings = redfish.read(server.url)
    assert chassis == Chassis(2500.25, 12000, {"GPU 1": 55.5})
    assert {finding.severity for finding in findings} == {Severity.OK}


def test_several_chassis_are_read_and_sensors_of_one_name_kept_apart():
    documents = servers.legacy()
    sled = "/redfish/v1/Chassis/sled"
    documents[servers.SYSTEM]["Links"]["Chassis"] += servers.links(sled)
    documents[sled] = {**documents[CHASSIS], "Id": "sled"}
    with Server(documents) as server:
        chassis, findings = redfish.read(server.url)
    # Not the sum: an enclosure's power contains that of what is in it.
    assert chassis.power_watts == 4210.5
    assert chassis.temperatures == {"Inlet": 24, "GPU 1": 61.5, "Inlet (2)": 24, "GPU 1 (2)": 61.5}
    assert findings[0].found == "system 1, chassis 1U, sled"
    assert sum(finding.found.startswith("chassis sled: ") for finding in findings) == 4


def test_a_session_is_opened_and_ended(files, caplog):
    caplog.set_level(logging.DEBUG)
    with Server(servers.legacy(), login=("auditor", SECRET), certificate=files) as server:
        chassis, _ = redfish.read(server.url, login=LOGIN, verify=files[0])
    assert chassis.power_watts == 4210.5
    assert server.sessions == 0
    assert SECRET not in caplog.text


def test_name_and_password_come_from_the_environment(monkeypatch, files):
    monkeypatch.setenv("REDFISH_USERNAME", "auditor")
    monkeypatch.setenv("REDFISH_PASSWORD", SECRET)
    with Server(servers.legacy(), login=("auditor", SECRET), certificate=files) as server:
        assert redfish.read(server.url, verify=files[0])[0].power_watts == 4210.5


def test_name_and_password_come_from_netrc(tmp_path):
    file = tmp_path / ".netrc"
    file.write_text("machine bmc.example login auditor password pw\n")
    file.chmod(0o600)
    assert find_login("https://bmc.example:8443", {}) == Login("auditor", "pw")
    assert find_login("https://other.example", {}) is None
    assert "pw" not in repr(Login("auditor", "pw"))


@pytest.mark.parametrize("text, mode", [(f"machine a password {SECRET} x", 0o600), ("", 0o000)])
def test_a_netrc_that_cannot_be_used_is_an_error_that_does_not_quote_it(tmp_path, text, mode):
    file = tmp_path / "netrc"
    file.write_text(text)
    file.chmod(mode)
    if mode == 0:
        file.unlink()
        file.mkdir()
    with pytest.raises(UserError, match="netrc's format") as raised:
        find_login("https://bmc.example", {"NETRC": str(file)})
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("name", ["REDFISH_USERNAME", "REDFISH_PASSWORD"])
def test_half_a_login_is_an_error(name):
    with pytest.raises(UserError, match=f"^{name} is set and"):
        find_login("https://bmc.example", {name: SECRET})


def test_a_refused_login_is_one_sentence_and_quiet(files, caplog):
    with Server(servers.legacy(), login=("auditor", "other"), certificate=files) as server:
        sentence = failure(server.url, login=LOGIN, verify=files[0])
    assert "refuses auditor's login" in sentence
    assert caplog.records == []


def test_a_login_that_is_wanted_and_not_given_is_named():
    with Server(servers.legacy(), login=("auditor", SECRET)) as server:
        assert "wants a login; set REDFISH_USERNAME" in failure(server.url)


def test_a_password_is_not_sent_unencrypted():
    with Server(servers.legacy(), login=("auditor", SECRET)) as server:
        assert "--redfish-insecure" in failure(server.url, login=LOGIN)
        assert server.asked == []
        assert redfish.read(server.url, login=LOGIN, verify=False)[0].power_watts == 4210.5


def test_an_untrusted_certificate_is_refused_unless_the_check_is_switched_off(files):
    with Server(servers.legacy(), certificate=files) as server:
        sentence = failure(server.url)
        assert "certificate cannot be trusted (self-signed certificate)" in sentence
        assert "--redfish-ca" in sentence and "--redfish-insecure" in sentence
        assert server.asked == []
        assert redfish.read(server.url, verify=False)[0].power_watts == 4210.5
        assert redfish.read(server.url, verify=files[0])[0].power_watts == 4210.5


def test_a_certificate_of_another_authority_is_refused(files, tmp_path):
    other, _ = certificate(tmp_path)
    with Server(servers.legacy(), certificate=files) as server:
        assert "certificate cannot be trusted" in failure(server.url, verify=other)


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_file_without_certificates_is_named(tmp_path, text):
    file = tmp_path / "ca.pem"
    if text:
        file.write_text(text)
    with pytest.raises(UserError, match=r"--redfish-ca .*ca\.pem: .*PEM"):
        redfish.read("https://127.0.0.1:1", verify=str(file))


def test_a_server_that_does_not_speak_tls_is_named():
    with Server(servers.legacy()) as server:
        url = server.url.replace("http:", "https:")
        assert "TLS fails" in failure(url)


def test_a_closed_port_is_named():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        sentence = failure(f"https://127.0.0.1:{closed.getsockname()[1]}")
    assert "cannot be reached (Connection refused)" in sentence


def test_a_name_that_no_server_has_is_named(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    sentence = failure("https://bmc.invalid")
    assert "cannot be reached (Name or service not known)" in sentence


@pytest.fixture
def silent(monkeypatch):
    """A port that takes connections and says nothing."""
    monkeypatch.setattr(service, "READ_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_silence_ends_with_one_sentence(silent):
    assert "no answer within 0.2 s" in failure(silent)


def test_a_hanging_request_ends_with_one_sentence(silent, monkeypatch):
    monkeypatch.setattr(service, "READ_SECONDS", 5)
    monkeypatch.setattr(redfish, "MOST_SECONDS", 0.1)
    assert "within 0.1 s" in failure(silent)


@pytest.mark.parametrize(
    "answer, words",
    [
        (b"<html>hello</html>", "no JSON"),
        (b"", "not what Redfish says"),
        (b'{"Id": ', "no JSON"),
        (b"[" * 100_000, "no JSON"),
        ([], "not what Redfish says"),
        ("text", "not what Redfish says"),
        ({"hello": 1}, "attribute Id is missing"),
        ({"Id": "x", "Systems": None}, "not what Redfish says"),
        ({"Id": "x"}, "names no computer systems"),
        ((404, {}), "there is no /redfish/v1/"),
        ((503, {}), "HTTP status 503"),
        ((500, b"oops"), "HTTP status 500"),
        ((403, {}), "may not read /redfish/v1/"),
    ],
)
def test_what_is_no_redfish_service_is_named(answer, words):
    with Server({ROOT: answer}) as server:
        assert words in failure(server.url)


def test_a_system_that_is_no_json_is_named():
    with Server(servers.legacy() | {servers.SYSTEM: b"{"}) as server:
        assert f"{servers.SYSTEM} is not what Redfish says (no JSON)" in failure(server.url)


@pytest.mark.parametrize(
    "answer, words",
    [
        (b"{", "is not what Redfish says (no JSON)"),
        ([], "is not what Redfish says (JSON of another shape)"),
        ((403, {}), "is refused to this account"),
        ((503, {}), "is answered with HTTP status 503"),
    ],
)
def test_a_resource_that_cannot_be_read_is_a_warning_and_the_rest_is_told(answer, words):
    with Server(servers.legacy() | {f"{CHASSIS}/Power": answer}) as server:
        chassis, findings = redfish.read(server.url)
    (warning,) = [finding for finding in findings if finding.severity is Severity.WARNING]
    assert warning.found == f"{CHASSIS}/Power {words}"
    assert chassis.power_watts is None
    assert chassis.temperatures == {"Inlet": 24, "GPU 1": 61.5}


def test_after_its_time_nothing_further_is_asked(monkeypatch):
    monkeypatch.setattr(service, "ASK_SECONDS", -1)
    with Server(servers.current()) as server:
        chassis, findings = redfish.read(server.url)
    assert chassis == Chassis()
    assert "redfish.unreadable" in {finding.id for finding in findings}
    assert server.asked[-1] == CHASSIS


@pytest.mark.parametrize(
    "url",
    [
        "bmc.example",
        "ftp://bmc.example",
        "https://",
        "https://bmc.example/login",
        "https://bmc.example:port",
        "https://[::1",
        "https://bmc.example?x=1",
        "https://bmc..example",
        f"https://{'b' * 300}",
        "",
    ],
)
def test_what_is_no_address_of_a_controller_is_refused(url):
    with pytest.raises(UserError, match=r"expected the address .* https://bmc\.example"):
        redfish.read(url)


def test_a_password_in_the_url_is_refused_and_not_repeated():
    for url in (f"https://root:{SECRET}@bmc.example", f"https:/root:{SECRET}@bmc.example"):
        with pytest.raises(UserError, match="do not belong") as raised:
            redfish.read(url)
        assert SECRET not in str(raised.value)


def test_the_service_root_is_an_address_too():
    assert base_url("https://[::1]:8443/redfish/v1/") == "https://[::1]:8443"


def test_without_sushy_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sushy", None)
    with pytest.raises(UserError, match=r"pip install nova-gpu-passthrough\[redfish\]"):
        redfish.read("https://bmc.example")
