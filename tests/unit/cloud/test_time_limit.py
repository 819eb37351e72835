# SPDX-License-Identifier: Apache-2.0
"""Servers that are silent, slow or without end."""

import contextlib
import json
import socket
import threading
import time

import pytest
import requests
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from nova_gpu_passthrough import waiting
from nova_gpu_passthrough.cloud import failures, time_limit
from nova_gpu_passthrough.errors import UserError

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


class Server:
    """A server that treats every connection the same way."""

    def __init__(self, treat):
        self._treat = treat
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v3"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            self._treat(connection)

    def close(self):
        self._socket.close()


def silent(connection):
    time.sleep(60)


def dripping(start):
    def drip(connection):
        connection.recv(4096)
        connection.sendall(start)
        while True:
            connection.sendall(b" ")
            time.sleep(0.05)

    return drip


def flooding(connection):
    connection.recv(4096)
    connection.sendall(OK)
    while True:
        connection.sendall(b" " * 2**16)


@pytest.fixture
def serve():
    servers = []

    def start(treat):
        servers.append(Server(treat))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def connect(url, timeout=0.5):
    auth = {
        "auth_url": url,
        "username": "alice",
        "password": "secret",
        "project_name": "p",
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    config = OpenStackConfig(load_yaml_config=False, load_envvars=False)
    connection = Connection(config=config.get_one(auth=auth, api_timeout=timeout))
    time_limit.limit_requests(connection, lambda url: failures.service_at(connection, url))
    return connection


def failure(connection):
    with pytest.raises(UserError) as caught, failures.as_user_errors(connection=lambda: connection):
        list(connection.compute.services())
    return str(caught.value)


@pytest.mark.parametrize(
    "treat", [silent, dripping(b"HTTP/1.1 200 OK\r\nX:"), dripping(OK)], ids=["0", "head", "body"]
)
def test_a_server_that_does_not_respond_in_time(serve, treat):
    server, started = serve(treat), time.monotonic()
    text = failure(connect(server.url))
    assert time.monotonic() - started < 5
    assert text.startswith(f"Keystone at {server.url}")
    assert text.endswith("cannot be reached: it did not respond within 0.5 s; see --timeout")
    # Libraries send other requests after the first; these do not wait again.
    assert server.connections == 1


def test_a_silent_server_gets_requests_again_later(serve):
    server = serve(silent)
    session = connect(server.url, 0.2).session.session
    for connections in (1, 1):
        with pytest.raises(requests.ConnectionError):
            session.get(server.url)
        assert server.connections == connections
    time.sleep(0.3)
    with pytest.raises(requests.ConnectionError):
        session.get(server.url)
    assert server.connections == 2


def test_waiting_is_reported_once(serve, monkeypatch, capsys):
    monkeypatch.setattr(waiting, "NOTICE_SECONDS", 0.1)
    server = serve(silent)
    failure(connect(server.url))
    assert capsys.readouterr().err == (
        f"waiting for Keystone at {server.url}: no response for 0.1 s; the limit is 0.5 s "
        "(--timeout)\n"
    )


def test_a_response_without_end(serve, monkeypatch):
    monkeypatch.setattr(time_limit, "_MAX_BYTES", 2**21)
    text = failure(connect(serve(flooding).url, 20))
    assert text.endswith("cannot be reached: its response has more than 2 MiB")


def test_an_ordinary_response_is_complete(serve):
    body = json.dumps({"x": "y" * 3_000_000}).encode()

    def answer(connection):
        connection.recv(4096)
        connection.sendall(OK + body)

    url = serve(answer).url
    session = connect(url, 20).session.session
    assert session.get(url).json() == {"x": "y" * 3_000_000}
    with session.get(url, stream=True) as streamed:
        assert next(streamed.iter_content(4)) == body[:4]


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e9])
def test_a_limit_that_is_no_time(seconds):
    with pytest.raises(UserError, match="at most 86400; see --timeout"):
        connect("http://127.0.0.1:9", seconds)
