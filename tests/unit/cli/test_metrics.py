# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu metrics``."""

import os
import signal
import socket
import threading
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nova_gpu_passthrough.cli import metrics
from nova_gpu_passthrough.cloud.report import snapshot
from nova_gpu_passthrough.errors import UserError
from tests.unit.cloud.report import fleets


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """The environment names a cloud, which receives no requests."""
    for name in list(os.environ):
        if name.startswith(("OS_", "NOVA_GPU_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", "/nonexistent/clouds.yaml")
    monkeypatch.setenv("OS_AUTH_URL", "http://cloud/identity/v3")


@pytest.fixture
def cloud(monkeypatch):
    """Results of reading the cloud: snapshots, exceptions or functions; the last one repeats."""
    results = [fleets.four()]

    def take(connection, resolved=None, progress=None, names=True):
        assert not names
        result = results.pop(0) if len(results) > 1 else results[0]
        if callable(result):
            result = result()
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(snapshot, "take", take)
    return results


def _values(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_are_printed(nova_gpu, cloud):
    status, out, err = nova_gpu("metrics")
    assert (status, err) == (0, "")
    values = _values(out)
    assert values["nova_gpu_host_up", ("host", "gpu01")] == 1
    assert values["nova_gpu_read_success",] == 1
    assert "nova_gpu_device_state{" in out


def test_devices_can_be_left_out(nova_gpu, cloud):
    _, out, _ = nova_gpu("metrics", "--no-devices")
    assert "nova_gpu_devices{" in out
    assert "nova_gpu_device_state" not in out


def test_a_textfile_is_replaced_atomically(nova_gpu, cloud, tmp_path):
    path = tmp_path / "gpu.prom"
    path.write_text("old")
    with path.open() as old:
        assert nova_gpu("metrics", "--textfile", path) == (0, "", f"wrote {path}\n")
        # A reader of the old file is not affected.
        assert old.read() == "old"
    assert _values(path.read_text())["nova_gpu_host_up", ("host", "gpu01")] == 1
    assert path.read_text().endswith("\n")
    assert os.listdir(tmp_path) == ["gpu.prom"]


def test_a_textfile_is_not_changed_if_the_cloud_cannot_be_read(nova_gpu, cloud, tmp_path):
    cloud[:] = [UserError("Nova is not there")]
    path = tmp_path / "gpu.prom"
    path.write_text("old")
    assert nova_gpu("metrics", "--textfile", path) == (2, "", "nova-gpu: Nova is not there\n")
    assert path.read_text() == "old"


def test_a_textfile_that_cannot_be_written(nova_gpu, cloud, tmp_path):
    path = tmp_path / "none" / "gpu.prom"
    status, out, err = nova_gpu("metrics", "--textfile", path)
    assert (status, out) == (2, "")
    assert err == (
        f"nova-gpu: {path}: there is no directory {path.parent}; create it, or name another file\n"
    )
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--textfile", "gpu.txt"), "does not end in .prom"),
        (("--listen", "9838"), "expected ADDRESS:PORT"),
        (("--listen", ":9838"), "expected ADDRESS:PORT"),
        (("--listen", "127.0.0.1:x"), "expected ADDRESS:PORT"),
        (("--listen", "127.0.0.1:70000"), "expected ADDRESS:PORT"),
        (("--listen", "::1:9838"), "expected an IPv6 address in brackets"),
        (("--interval", "0"), "expected 1 to 86400 seconds"),
        (("--interval", "nan"), "expected 1 to 86400 seconds"),
        (("--interval", "x"), "invalid _seconds value"),
        (("--listen", "127.0.0.1:1", "--textfile", "a.prom"), "not allowed with"),
    ],
)
def test_invalid_arguments(nova_gpu, cloud, arguments, words):
    status, out, err = nova_gpu("metrics", *arguments)
    assert (status, out) == (2, "")
    assert words in err


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:9838", ("127.0.0.1", 9838)), ("[::1]:0", ("::1", 0)), ("host:1", ("host", 1))],
)
def test_addresses(text, address):
    assert metrics._address(text) == address
    assert metrics._url(*address) == f"http://{text}/metrics"


def test_an_address_in_use(nova_gpu, cloud):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        status, _, err = nova_gpu("metrics", "--listen", f"127.0.0.1:{port}")
    assert status == 2
    assert err == (
        f"nova-gpu: cannot listen at 127.0.0.1:{port}: Address already in use; name another "
        "ADDRESS:PORT\n"
    )


def test_an_unreadable_fleet_file_ends_the_command_before_it_serves(nova_gpu, cloud, tmp_path):
    path = tmp_path / "fleet.yaml"
    status, _, err = nova_gpu("metrics", "--listen", "127.0.0.1:0", "--fleet", path)
    assert status == 2
    assert str(path) in err
    assert "serving" not in err


@pytest.fixture
def served(nova_gpu, cloud, monkeypatch):
    """Serve during several readings of the cloud; the last one scrapes and sends a signal."""

    def run(*readings, number=signal.SIGTERM):
        scraped = []
        events = []
        monkeypatch.setattr(metrics.time, "sleep", lambda seconds: events.append(seconds))
        monkeypatch.setattr(
            metrics.ExportMetrics,
            "print_notes",
            lambda self, notes: events.extend(notes),
        )

        def last():
            url = next(text for text in events if str(text).startswith("serving")).split()[-1]
            with urllib.request.urlopen(url, timeout=30) as answer:
                scraped.append(answer.read().decode())
            signal.raise_signal(number)
            raise AssertionError("the signal did not come")

        cloud[:] = [*readings, last]
        before, threads = signal.getsignal(signal.SIGTERM), threading.active_count()
        status, out, err = nova_gpu("metrics", "--listen", "127.0.0.1:0", "--interval", "7")
        assert signal.getsignal(signal.SIGTERM) is before
        assert threading.active_count() == threads
        assert (status, out) == (0, "")
        return scraped[0], events[1:], err

    return run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal(served, number):
    text, events, err = served(fleets.four(), number=number)
    assert _values(text)["nova_gpu_host_up", ("host", "gpu02")] == 1
    assert "process_resident_memory_bytes" in text
    # It waits between readings.
    assert events == [7.0]
    assert err == ""


def test_the_last_values_are_served_while_the_cloud_cannot_be_read(served):
    text, events, err = served(
        fleets.four(), UserError("Nova is not there"), UserError("Nova is not there")
    )
    values = _values(text)
    assert values["nova_gpu_host_up", ("host", "gpu02")] == 1
    assert values["nova_gpu_read_success",] == 0
    assert values["nova_gpu_reads_total", ("result", "failure")] == 2
    # The error is logged once, not at every reading.
    assert err == "nova-gpu: the cloud could not be read: Nova is not there\n"
    assert events == [7.0, 7.0, 7.0]


def test_it_waits_for_an_unavailable_cloud(served):
    text, events, err = served(
        UserError("Nova is not there"), UserError("nor Placement"), fleets.one()
    )
    values = _values(text)
    assert values["nova_gpu_host_up", ("host", "gpu01")] == 1
    assert values["nova_gpu_read_success",] == 1
    assert err.splitlines() == [
        "nova-gpu: the cloud could not be read: Nova is not there",
        "nova-gpu: the cloud could not be read: nor Placement",
    ]
    assert events == [7.0, 7.0, "the cloud can be read again", 7.0]


def test_an_unexpected_error_does_not_end_the_service(served):
    text, _, err = served(KeyError("links"), fleets.one())
    assert _values(text)["nova_gpu_reads_total", ("result", "failure")] == 1
    assert err.startswith("nova-gpu: the cloud could not be read: KeyError: 'links' (add --debug")
