# SPDX-License-Identifier: Apache-2.0
"""A web server on a loopback port with prepared responses, and a certificate for it."""

import datetime
import http.server
import ipaddress
import json
import ssl
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Server:
    """Answers GET from ``answers``: a document, bytes, or a status with one of them, by path.

    :param login: name and password that open a session; None: no login is needed
    """

    def __init__(self, answers, login=None, certificate=None):
        self.answers = answers
        self.login = login
        self.requested = []
        self.sessions = 0
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Ignore clients that close the connection because they do not trust the certificate."""


class _Handler(http.server.BaseHTTPRequestHandler):
    _TOKEN = "e8c1"

    def do_GET(self):
        owner = self.server.owner
        owner.requested.append(self.path)
        free = self.path in ("/redfish/v1/", "/redfish/v1")
        if owner.login and not free and self.headers.get("X-Auth-Token") != self._TOKEN:
            self._respond(401, {"error": {"message": "no"}})
            return
        answer = owner.answers.get(self.path, (404, {"error": {"message": "none"}}))
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        self._respond(status, body)

    def do_POST(self):
        owner = self.server.owner
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if owner.login == (body["UserName"], body["Password"]):
            owner.sessions += 1
            self._respond(201, {"@odata.id": "/session/1"}, {"X-Auth-Token": self._TOKEN})
        else:
            self._respond(401, {"error": {"message": "no"}})

    def do_DELETE(self):
        self.server.owner.sessions -= 1
        self._respond(204, b"")

    def _respond(self, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Do nothing: tests use ``requested``."""


def certificate(folder):
    """Write a self-signed certificate for 127.0.0.1 and its key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bmc.example")])
    start = datetime.datetime(2020, 1, 1)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    crt, pem = folder / "bmc.crt", folder / "bmc.key"
    crt.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(crt), str(pem)
