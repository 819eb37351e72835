# SPDX-License-Identifier: Apache-2.0
"""Reading a management controller through a real socket, and all failures of that.

The responses are synthetic and follow DMTF's schemas; test_emulator.py uses sushy-tools.
"""

import logging
import socket
import sys

import pytest

from nova_gpu_passthrough import waiting
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host import audit, redfish
from nova_gpu_passthrough.host.redfish import service
from nova_gpu_passthrough.host.redfish.service import Login, base_url, find_login
from nova_gpu_passthrough.inventory.findings import Severity
from nova_gpu_passthrough.inventory.host import Chassis
from tests.checkout import ROOT as ROOT_FOLDER
from tests.unit.host.redfish import servers
from tests.unit.host.redfish.loopback import Server, certificate
from tests.unit.host.redfish.servers import CHASSIS, ROOT

INVENTORY = ROOT_FOLDER / "etc" / "fleet" / "inventories" / "l40s01.yaml"
SECRET = "s3cret-Pa55"
LOGIN = Login("auditor", SECRET)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    """Remove proxies, login and home directory of the user who runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "REDFISH_USERNAME", "REDFISH_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("NETRC", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files with the certificate and key of a server."""
    return certificate(tmp_path_factory.mktemp("certificate"))


def failure(url, **options):
    """Return the error of reading: one line, with the URL and without the password."""
    with pytest.raises(UserError) as raised:
        redfish.read(url, **options)
    sentence = str(raised.value)
    assert url in sentence
    assert SECRET not in sentence
    assert "\n" not in sentence and len(sentence) < 300
    return sentence


def test_legacy_resources_become_a_chassis_and_findings():
    with Server(servers.legacy()) as server:
        read = redfish.read(server.url)
        chassis, findings = read.chassis, read.findings
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


def test_serial_numbers():
    documents = servers.legacy()
    documents[servers.SYSTEM]["SerialNumber"] = "S432109X"
    with Server(documents) as server:
        read = redfish.read(server.url)
        assert (read.system_serial, read.chassis_serial) == ("S432109X", None)
    documents[servers.SYSTEM]["SerialNumber"] = "To be filled by O.E.M."
    documents[servers.CHASSIS]["SerialNumber"] = " C1 "
    with Server(documents) as server:
        source = audit.RedfishSource(server.url)
        machine = audit.audit(audit.AuditSources(inventory=INVENTORY, redfish=source)).machine
    assert (machine.serial, machine.chassis_serial) == (None, "C1")


def test_successors_of_power_and_thermal_become_a_chassis_and_findings():
    with Server(servers.current()) as server:
        read = redfish.read(server.url)
        chassis, findings = read.chassis, read.findings
    assert chassis == Chassis(2500.25, 12000, {"GPU 1": 55.5})
    assert {finding.severity for finding in findings} == {Severity.OK}


def test_sensors_of_several_chassis_get_unique_names():
    documents = servers.legacy()
    sled = "/redfish/v1/Chassis/sled"
    documents[servers.SYSTEM]["Links"]["Chassis"] += servers.links(sled)
    documents[sled] = {**documents[CHASSIS], "Id": "sled"}
    with Server(documents) as server:
        read = redfish.read(server.url)
        chassis, findings = read.chassis, read.findings
    # Not the sum: an enclosure's power includes that of the chassis inside.
    assert chassis.power_watts == 4210.5
    assert chassis.temperatures == {"Inlet": 24, "GPU 1": 61.5, "Inlet (2)": 24, "GPU 1 (2)": 61.5}
    assert findings[0].found == "system 1, chassis 1U, sled"
    assert sum(finding.found.startswith("chassis sled: ") for finding in findings) == 4


def test_a_session_is_opened_and_ended(files, caplog):
    caplog.set_level(logging.DEBUG)
    with Server(servers.legacy(), login=("auditor", SECRET), certificate=files) as server:
        chassis = redfish.read(server.url, login=LOGIN, verify=files[0]).chassis
    assert chassis.power_watts == 4210.5
    assert server.sessions == 0
    assert SECRET not in caplog.text


def test_the_login_comes_from_the_environment(monkeypatch, files):
    monkeypatch.setenv("REDFISH_USERNAME", "auditor")
    monkeypatch.setenv("REDFISH_PASSWORD", SECRET)
    with Server(servers.legacy(), login=("auditor", SECRET), certificate=files) as server:
        assert redfish.read(server.url, verify=files[0]).chassis.power_watts == 4210.5


def test_the_login_comes_from_netrc(tmp_path):
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
    with pytest.raises(UserError, match="netrc") as raised:
        find_login("https://bmc.example", {"NETRC": str(file)})
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("name", ["REDFISH_USERNAME", "REDFISH_PASSWORD"])
def test_an_incomplete_login_is_an_error(name):
    with pytest.raises(UserError, match=f"^{name} is set and"):
        find_login("https://bmc.example", {name: SECRET})


def test_a_rejected_login_is_one_sentence_without_log_messages(files, caplog):
    with Server(servers.legacy(), login=("auditor", "other"), certificate=files) as server:
        sentence = failure(server.url, login=LOGIN, verify=files[0])
    assert "rejects auditor's login" in sentence
    assert caplog.records == []


def test_a_missing_login_is_reported():
    with Server(servers.legacy(), login=("auditor", SECRET)) as server:
        assert "requires a login; set REDFISH_USERNAME" in failure(server.url)


def test_a_password_is_not_sent_unencrypted():
    with Server(servers.legacy(), login=("auditor", SECRET)) as server:
        assert "--redfish-insecure" in failure(server.url, login=LOGIN)
        assert server.requested == []
        assert redfish.read(server.url, login=LOGIN, verify=False).chassis.power_watts == 4210.5


def test_an_untrusted_certificate_is_rejected_unless_the_check_is_disabled(files):
    with Server(servers.legacy(), certificate=files) as server:
        sentence = failure(server.url)
        assert "certificate cannot be verified (self-signed certificate)" in sentence
        assert "--redfish-ca" in sentence and "--redfish-insecure" in sentence
        assert server.requested == []
        assert redfish.read(server.url, verify=False).chassis.power_watts == 4210.5
        assert redfish.read(server.url, verify=files[0]).chassis.power_watts == 4210.5


def test_a_certificate_of_another_authority_is_rejected(files, tmp_path):
    other, _ = certificate(tmp_path)
    with Server(servers.legacy(), certificate=files) as server:
        assert "certificate cannot be verified" in failure(server.url, verify=other)


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_file_without_certificates_is_named(tmp_path, text):
    file = tmp_path / "ca.pem"
    if text:
        file.write_text(text)
    with pytest.raises(UserError, match=r"--redfish-ca .*ca\.pem: .*PEM"):
        redfish.read("https://127.0.0.1:1", verify=str(file))


def test_a_file_of_certificates_without_end(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="/dev/zero is a device, not a file"):
        redfish.read("https://127.0.0.1:1", verify="/dev/zero")
    with pytest.raises(UserError, match="/dev/zero is a device, not a file"):
        find_login("https://bmc.example", {"NETRC": "/dev/zero"})


def test_a_server_without_tls_is_reported():
    with Server(servers.legacy()) as server:
        url = server.url.replace("http:", "https:")
        assert "TLS fails" in failure(url)


def test_a_closed_port_is_reported():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        sentence = failure(f"https://127.0.0.1:{closed.getsockname()[1]}")
    assert "cannot be reached (Connection refused)" in sentence


def test_an_unknown_host_name_is_reported(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    sentence = failure("https://bmc.invalid")
    assert "cannot be reached (Name or service not known)" in sentence


@pytest.fixture
def silent(monkeypatch):
    """URL of a port that accepts connections and does not answer."""
    monkeypatch.setattr(service, "READ_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_service_that_does_not_answer_is_one_sentence(silent):
    assert "no answer within 0.2 s" in failure(silent)


def test_a_hanging_request_ends_with_one_sentence(silent, monkeypatch, capsys):
    monkeypatch.setattr(service, "READ_SECONDS", 5)
    monkeypatch.setattr(redfish, "MAX_SECONDS", 0.2)
    monkeypatch.setattr(waiting, "NOTICE_SECONDS", 0.1)
    assert "within 0.2 s" in failure(silent)
    assert capsys.readouterr().err == (
        f"reading the management controller at {silent}: not complete after 0.1 s; the limit is "
        "0.2 s\n"
    )


@pytest.mark.parametrize(
    "answer, words",
    [
        (b"<html>hello</html>", "no JSON"),
        (b"", "not valid Redfish"),
        (b'{"Id": ', "no JSON"),
        (b"[" * 100_000, "no JSON"),
        ([], "not valid Redfish"),
        ("text", "not valid Redfish"),
        ({"hello": 1}, "attribute Id is missing"),
        ({"Id": "x", "Systems": None}, "not valid Redfish"),
        ({"Id": "x"}, "no computer systems"),
        ((404, {}), "/redfish/v1/ does not exist"),
        ((503, {}), "HTTP status 503"),
        ((500, b"oops"), "HTTP status 500"),
        ((403, {}), "may not read /redfish/v1/"),
    ],
)
def test_a_service_that_is_no_redfish_is_reported(answer, words):
    with Server({ROOT: answer}) as server:
        assert words in failure(server.url)


def test_a_system_that_is_no_json_is_reported():
    with Server(servers.legacy() | {servers.SYSTEM: b"{"}) as server:
        assert f"{servers.SYSTEM} is not valid Redfish (no JSON)" in failure(server.url)


@pytest.mark.parametrize(
    "answer, words",
    [
        (b"{", "is not valid Redfish (no JSON)"),
        ([], "is not valid Redfish (JSON of another shape)"),
        ((403, {}), "is forbidden for this account"),
        ((503, {}), "returns HTTP status 503"),
    ],
)
def test_an_unreadable_resource_is_a_warning_and_the_rest_is_read(answer, words):
    with Server(servers.legacy() | {f"{CHASSIS}/Power": answer}) as server:
        read = redfish.read(server.url)
        chassis, findings = read.chassis, read.findings
    (warning,) = [finding for finding in findings if finding.severity is Severity.WARNING]
    assert warning.found == f"{CHASSIS}/Power {words}"
    assert chassis.power_watts is None
    assert chassis.temperatures == {"Inlet": 24, "GPU 1": 61.5}


def test_no_further_resource_is_read_after_the_deadline(monkeypatch):
    monkeypatch.setattr(service, "REQUEST_SECONDS", -1)
    with Server(servers.current()) as server:
        read = redfish.read(server.url)
        chassis, findings = read.chassis, read.findings
    assert chassis == Chassis()
    assert "redfish.unreadable" in {finding.id for finding in findings}
    assert server.requested[-1] == CHASSIS


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
def test_an_invalid_address_of_a_controller_is_rejected(url):
    with pytest.raises(UserError, match=r"expected the address .* https://bmc\.example"):
        redfish.read(url)


def test_a_password_in_the_url_is_rejected_and_not_printed():
    for url in (f"https://root:{SECRET}@bmc.example", f"https:/root:{SECRET}@bmc.example"):
        with pytest.raises(UserError, match="must not contain") as raised:
            redfish.read(url)
        assert SECRET not in str(raised.value)


def test_the_service_root_is_accepted_as_address():
    assert base_url("https://[::1]:8443/redfish/v1/") == "https://[::1]:8443"


def test_without_sushy_the_error_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "sushy", None)
    with pytest.raises(UserError, match=r"pip install nova-gpu-passthrough\[redfish\]"):
        redfish.read("https://bmc.example")
