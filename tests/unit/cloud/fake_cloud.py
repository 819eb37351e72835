# SPDX-License-Identifier: Apache-2.0
"""A cloud over HTTP for unit tests: real openstacksdk, real Placement, fake Keystone and Nova.

The fixture ``cloud`` (conftest.py in this folder) returns a `FakeCloud`. Its attributes ``nova``,
``placement`` and ``keystone`` are its state; ``connection()`` returns openstacksdk's connection to
it; ``requests`` lists the requests.
"""

import json
import re
from urllib.parse import urlsplit

import requests_mock
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from tests.unit.cloud import fake_nova
from tests.unit.cloud.fake_keystone import FakeKeystone
from tests.unit.cloud.fake_nova import FakeNova

ENDPOINTS = {
    "identity": "http://cloud/identity/v3",
    "compute": "http://cloud/compute/v2.1",
    "placement": "http://cloud/placement",
}


class FakeCloud:
    """A whole cloud, which responds to every request to http://cloud/."""

    def __init__(self, mocker, placement):
        self.nova, self.placement = FakeNova(), placement
        self.keystone = FakeKeystone(dict(ENDPOINTS))
        #: Method and path (with the query) of every request.
        self.requests = []
        #: The newest microversion that Nova accepts.
        self.nova_maximum = fake_nova.MAXIMUM
        self._failures = []
        mocker.register_uri(requests_mock.ANY, re.compile("^http://cloud/"), content=self._answer)

    def connection(self, user="admin", password=None, **options):
        """Return a connection of a user."""
        auth = {
            "auth_url": ENDPOINTS["identity"],
            "username": user,
            "password": password or self.keystone.passwords[user],
            "project_name": "admin",
            "user_domain_id": "default",
            "project_domain_id": "default",
        }
        options.setdefault("region_name", "RegionOne")
        config = OpenStackConfig(load_yaml_config=False, load_envvars=False)
        return Connection(config=config.get_one(auth=auth, **options))

    def fail(self, pattern, status=500, body=None, error=None, times=None):
        """Respond to requests ``METHOD path`` that match a pattern with a status, or raise.

        :param times: how often; None: always
        """
        self._failures.append([re.compile(pattern), status, body, error, times])

    def fix(self):
        """Remove all failures."""
        self._failures.clear()

    def requested(self, pattern=""):
        """Return the requests that match a pattern, without those for tokens and versions."""
        return [
            f"{method} {path}"
            for method, path in self.requests
            if re.search(pattern, f"{method} {path}")
            and not re.search(r"^/(identity/v3/?(auth/tokens)?|compute/v2.1/?|placement/?)$", path)
        ]

    def _answer(self, request, context):
        parts = urlsplit(request.url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        self.requests.append((request.method, path))
        context.headers["X-Openstack-Request-Id"] = f"req-{len(self.requests)}"
        context.headers["Content-Type"] = "application/json"
        failure = self._failure(f"{request.method} {path}")
        if failure:
            _, status, body, error, _ = failure
            if error:
                raise error
            context.status_code = status
            return json.dumps(body if body is not None else {}).encode()
        service, _, rest = parts.path.lstrip("/").partition("/")
        if service == "placement":
            return self._call_placement(request, context, rest, parts.query)
        if service == "compute":
            return self._call_nova(request, context, rest)
        assert service == "identity", request.url
        status, body = self.keystone.answer(request.method, rest.removeprefix("v3"), request)
        if rest == "v3/auth/tokens":
            context.headers["X-Subject-Token"] = "token-1"
        return _put(context, status, body)

    def _failure(self, what):
        for failure in self._failures:
            if failure[0].search(what) and failure[4] != 0:
                if failure[4] is not None:
                    failure[4] -= 1
                return failure
        return None

    def _call_placement(self, request, context, rest, query):
        path = f"/{rest}" + (f"?{query}" if query else "")
        body = request.body
        context.status_code, headers, content = self.placement.answer(
            request.method,
            path,
            {name.lower(): str(value) for name, value in request.headers.items()},
            body.encode() if isinstance(body, str) else body,
        )
        context.headers |= headers
        return content

    def _call_nova(self, request, context, rest):
        path = rest.removeprefix("v2.1")
        if path in ("", "/"):
            links = [{"rel": "self", "href": ENDPOINTS["compute"]}]
            version = {"id": "v2.1", "status": "CURRENT", "version": self.nova_maximum}
            return _put(
                context, 200, {"version": {**version, "min_version": "2.1", "links": links}}
            )
        version = request.headers.get("X-OpenStack-Nova-API-Version", "2.1")
        version = version.decode() if isinstance(version, bytes) else version
        if _numbers(version) > _numbers(self.nova_maximum):
            text = (
                f"Version {version} is not supported by the API. Minimum is 2.1 and maximum is "
                f"{self.nova_maximum}."
            )
            return _put(context, 406, {"computeFault": {"code": 406, "message": text}})
        return _put(context, *self.nova.answer(request.method, path, request))


def _put(context, status, body):
    context.status_code = status
    return b"" if body is None else json.dumps(body).encode()


def _numbers(version):
    return tuple(int(part) for part in version.split("."))
