# SPDX-License-Identifier: Apache-2.0
"""What was published of free GPUs, from files and addresses."""

import datetime
import http.server
import threading

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from nova_gpu_passthrough.cloud.report import availability, metrics, published
from nova_gpu_passthrough.cloud.report.published import FittingServers
from nova_gpu_passthrough.cloud.view.model import CloudFlavor
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import reading
from tests.unit.cloud.report import fleets

TAKEN_AT = datetime.datetime(2026, 3, 1, 12, 30, tzinfo=datetime.UTC)


def flavor(name):
    """A flavor as in `fleets.cloud_flavors`."""
    return CloudFlavor(f"id-{name}", name, 1, 1024, 10, True, {})


def exported(snapshot):
    """The metrics of a snapshot as text."""
    registry = CollectorRegistry()

    class Collector:
        def collect(self):
            return metrics.families(snapshot)

    registry.register(Collector())
    return generate_latest(registry).decode()


@pytest.fixture
def serve():
    """Start a web server that responds with a status and a body; return its address."""
    servers = []

    def start(body=b"", status=200, pause=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if pause:
                    pause.wait(30)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/gpus"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def check(found):
    assert found.taken_at == TAKEN_AT
    assert found.counted
    assert found.fitting(flavor("gpu.h100.1")) == FittingServers(4)
    assert found.fitting(flavor("gpu.h100.8")) == FittingServers(0)
    assert found.fitting(flavor("gpu.l40s.1")) == FittingServers(0, exact=False)
    assert found.fitting(flavor("other")) is None


def test_the_document(tmp_path):
    file = tmp_path / "gpus.json"
    file.write_text(availability.dump(availability.build(fleets.four())))
    check(published.load(str(file)))


def test_a_page(tmp_path):
    file = tmp_path / "gpus.html"
    text = availability.embed(availability.build(fleets.four()))
    file.write_text(
        "<!DOCTYPE html><body>"
        f'<script type="application/json" id="availability">{text}</script></body>'
    )
    check(published.load(str(file)))


def test_metrics(tmp_path):
    file = tmp_path / "gpus.prom"
    file.write_text(exported(fleets.four()))
    check(published.load(str(file)))


def test_an_address(serve):
    text = availability.dump(availability.build(fleets.four()))
    check(published.load(serve(text.encode())))


def test_a_page_without_a_fleet_file(tmp_path):
    file = tmp_path / "gpus.json"
    document = availability.Availability(fleets.TAKEN_AT, (), None)
    file.write_text(availability.dump(document))
    found = published.load(str(file))
    assert not found.counted
    assert found.fitting(flavor("gpu.h100.1")) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<html>", "no JSON document of what is free; expected the page or the JSON file"),
        ("{}", "expected the page or the JSON file that nova-gpu report --public wrote"),
        ("# HELP up Up\n# TYPE up gauge\nup 1\n", "expected metrics that nova-gpu metrics wrote"),
        ("# HELP nova_gpu_devices {{{\nx{\n", "expected metrics that nova-gpu metrics wrote"),
        ("nova_gpu_read_timestamp_seconds 1e300\n", "expected metrics that nova-gpu metrics wrote"),
    ],
)
def test_something_else(tmp_path, text, words):
    file = tmp_path / "file"
    file.write_text(text)
    with pytest.raises(UserError, match=words) as error:
        published.load(str(file))
    assert str(error.value).startswith(f"{file}: ")


def test_a_file_that_does_not_exist(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        published.load(str(tmp_path / "missing"))


def test_nobody_listens():
    with pytest.raises(UserError, match="http://127.0.0.1:1/ cannot be read: Connection refused"):
        published.load("http://127.0.0.1:1/")


def test_an_address_without_a_page(serve):
    url = serve(status=404)
    with pytest.raises(UserError, match=f"^{url} responds with 404 Not Found; is the address"):
        published.load(url)


def test_an_invalid_address():
    with pytest.raises(UserError, match="cannot be read"):
        published.load("http://[/")


def test_a_page_that_is_too_long(serve, monkeypatch):
    monkeypatch.setattr(reading, "MAX_BYTES", 2**20)
    with pytest.raises(UserError, match="has more than 1 MiB; is the address right"):
        published.load(serve(b"x" * (2**20 + 1)))


def test_a_page_that_is_no_text(serve):
    with pytest.raises(UserError, match="not valid UTF-8"):
        published.load(serve(b"\xff\xfe"))


def test_a_server_that_is_silent(serve, monkeypatch):
    monkeypatch.setattr(published, "TIMEOUT", 0.2)
    released = threading.Event()
    url = serve(pause=released)
    with pytest.raises(UserError, match=f"^{url} did not respond within 0.2 seconds"):
        published.load(url)
    released.set()
