# SPDX-License-Identifier: Apache-2.0
"""Reading OpenStack's Redfish emulator (sushy-tools) as management controller.

It has temperatures and fans, TLS and HTTP basic login, but no sessions, power or power supplies.
"""

import os
import socket
import subprocess
import sys
import time

import bcrypt
import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host import redfish
from nova_gpu_passthrough.host.redfish import Login
from nova_gpu_passthrough.inventory.findings import Severity
from nova_gpu_passthrough.inventory.host import Chassis
from tests.unit.host.redfish.loopback import certificate

LOGIN = Login("auditor", "pa55word")
SYSTEMS = {
    "27946b59-9e44-4fa7-8e91-f3527a1ef094": "gpu-1",
    "4f1f27a4-5a0e-4a1c-9a3e-0d5f0f0c2b11": "gpu-2",
}


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """URL and certificate of an emulator with two systems in one chassis."""
    folder = tmp_path_factory.mktemp("emulator")
    crt, key = certificate(folder)
    password = bcrypt.hashpw(LOGIN.password.encode(), bcrypt.gensalt(4)).decode()
    (folder / "users").write_text(f"{LOGIN.name}:{password.replace('$2b$', '$2y$')}\n")
    systems = [
        {"uuid": uuid, "name": name, "power_state": "On", "nics": []}
        for uuid, name in SYSTEMS.items()
    ]
    settings = {
        "SUSHY_EMULATOR_FAKE_DRIVER": True,
        "SUSHY_EMULATOR_FAKE_SYSTEMS": systems,
        "SUSHY_EMULATOR_STATE_DIR": str(folder),
        "SUSHY_EMULATOR_AUTH_FILE": str(folder / "users"),
        "SUSHY_EMULATOR_SSL_CERT": crt,
        "SUSHY_EMULATOR_SSL_KEY": key,
        "SUSHY_EMULATOR_LISTEN_IP": "127.0.0.1",
    }
    config = folder / "emulator.conf"
    config.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))
    process, port = _started(config, folder / "log")
    yield f"https://127.0.0.1:{port}", crt
    process.terminate()
    process.wait()


def _started(config, log):
    """Start the emulator and wait until it listens; retry if another process uses the port."""
    for _ in range(3):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "sushy_tools.emulator.main", "--config", config]
                + ["--port", str(port)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={name: value for name, value in os.environ.items() if "SUSHY" not in name},
            )
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return process, port
            except OSError:
                time.sleep(0.05)
    raise RuntimeError(log.read_text())


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_the_emulators_temperatures_and_fans_are_read(emulator):
    url, crt = emulator
    read = redfish.read(url, login=LOGIN, verify=crt)
    chassis, findings = read.chassis, read.findings
    assert chassis == Chassis(
        temperatures={"CPU Temp": 41, "CPU Temp (2)": 41, "Chassis Intake Temp": 25}
    )
    texts = {finding.id.removeprefix("redfish."): finding.found for finding in findings}
    assert set(texts) == {
        "system",
        "temperature_fine",
        "cooling_fine",
        "supply_untold",
        "power_untold",
    }
    assert "3 temperatures" in texts["temperature_fine"]
    assert "CPU Temp with 41 degrees C of 42 degrees C" in texts["temperature_fine"]
    assert "2 fans, health OK" in texts["cooling_fine"]
    assert {finding.severity for finding in findings} == {Severity.OK}


@pytest.mark.parametrize("system_id", SYSTEMS)
def test_a_system_is_chosen_by_its_id(emulator, system_id):
    url, crt = emulator
    findings = redfish.read(url, login=LOGIN, verify=crt, system=system_id).findings
    (other,) = set(SYSTEMS) - {system_id}
    assert findings[0].found.startswith(f"system {system_id}, chassis ")
    assert f"not read: {other} " in findings[0].found


@pytest.mark.parametrize(
    "options, words",
    [
        ({"verify": True}, "certificate cannot be verified"),
        ({"login": Login("auditor", "wrong")}, "rejects auditor's login"),
        ({"login": Login("nobody", "pa55word")}, "rejects nobody's login"),
        ({"login": None}, "requires a login"),
        ({"system": "gpu-9"}, "no system gpu-9; --redfish-system expects one of "),
    ],
)
def test_wrong_options_give_one_sentence(emulator, options, words, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    url, crt = emulator
    with pytest.raises(UserError) as raised:
        redfish.read(url, **{"login": LOGIN, "verify": crt} | options)
    assert str(raised.value).startswith(f"{url}: ")
    assert words in str(raised.value)
