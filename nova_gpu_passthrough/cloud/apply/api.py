# SPDX-License-Identifier: Apache-2.0
"""Requests to Nova, Placement and Keystone that outlast a service's restart.

Each is repeated a few times where the service is away or fails, as it does while its database or
broker is being restarted. So a request may have had its effect although nobody answered: whoever
makes something must expect to find it.
"""

import functools
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import tenacity
from keystoneauth1 import exceptions as auth_exceptions
from openstack import exceptions

from nova_gpu_passthrough.cloud.view import api as view

if TYPE_CHECKING:
    from openstack.connection import Connection

#: The newest whose meaning is known here; of Keystone there is but one.
VERSIONS = {"compute": view.NOVA, "placement": view.PLACEMENT, "identity": None}
#: What a service that is away for a moment answers, or the proxy before it.
_AWAY = (429, 500, 502, 503, 504)
#: How often, while changes are made.
PATIENCE = 6
#: Seconds between attempts: 0.5, 1, 2, 4, 8.
_PAUSE = tenacity.wait_exponential(0.5, max=8)


class Answer(NamedTuple):
    """What a service said."""

    body: Any
    status: int
    #: Whether it was asked more than once: an earlier request may have had its effect.
    again: bool


class Refused(Exception):
    """A service will not do it, however often it is asked."""

    def __init__(self, error: exceptions.HttpException, again: bool) -> None:
        super().__init__(str(error))
        self.error, self.again = error, again

    @property
    def status(self) -> int:
        """The HTTP status, from 400 to 499."""
        return self.error.status_code or 0


class Interrupted(Exception):
    """Somebody pressed Ctrl-C: the request before was the last one."""


class Api(view.Api):
    """Reads from one cloud, and changes it."""

    def __init__(self, connection: "Connection", tell: view.Tell | None = None) -> None:
        super().__init__(connection, tell)
        self.connection = connection
        #: Set: no request is begun any more.
        self.stop = threading.Event()
        #: How often a request is made, at most. Who only looks can look again.
        self.attempts = 1
        self.pause: tenacity.wait.WaitBaseT = _PAUSE

    def nova(self, path: str, **parameters: Any) -> Any:
        """What Nova answers to a GET request."""
        return self.send("compute", "GET", path, parameters=parameters).body

    def placement(self, path: str, **parameters: Any) -> Any:
        """What Placement answers to a GET request."""
        return self.send("placement", "GET", path, parameters=parameters).body

    def keystone(self, path: str, **parameters: Any) -> Any:
        """What Keystone answers to a GET request."""
        return self.send("identity", "GET", path, parameters=parameters).body

    @functools.cached_property
    def home_domain(self) -> str | None:
        """The id of the domain of the caller's project."""
        session = self.connection.session
        get_access = getattr(session.auth, "get_access", None)
        access = get_access(session) if get_access else None
        domain: str | None = access.project_domain_id if access else None
        return domain

    def send(
        self,
        service: str,
        method: str,
        path: str,
        body: Any = None,
        parameters: Mapping[str, Any] | None = None,
        version: str | None = None,
    ) -> Answer:
        """Ask a service for something, up to ``attempts`` times if it is away.

        :param service: compute, placement or identity
        :param version: a microversion instead of the usual one
        :raises Refused: if it will not change what it was asked to change
        :raises Interrupted: if `stop` was set before the request was begun
        :raises openstack.exceptions.HttpException: if it does not tell what was asked for, does not
            know the user, or failed each time
        :raises keystoneauth1.exceptions.ConnectFailure: if it cannot be reached
        """
        url = f"{path}?{urlencode(parameters)}" if parameters else path
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_passes),
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=self.pause,
            sleep=tenacity.nap.sleep_using_event(self.stop),
            reraise=True,
        )
        attempts = 0

        def attempt() -> Answer:
            nonlocal attempts
            if self.stop.is_set():
                raise Interrupted
            attempts += 1
            usual = VERSIONS[service]
            status, answer = self.request(service, method, url, body, version or usual)
            return Answer(answer, status, attempts > 1)

        try:
            return retrying(attempt)
        except exceptions.HttpException as error:
            status = error.status_code or 0
            if method == "GET" or status == 401 or not 400 <= status < 500:
                raise
            raise Refused(error, attempts > 1) from error

    def request(
        self, service: str, method: str, url: str, body: Any, version: str | None
    ) -> tuple[int, Any]:
        """Status and body of one answer."""
        response = getattr(self.connection, service).request(
            url, method, json=body, microversion=version
        )
        exceptions.raise_from_response(response)
        return response.status_code, response.json() if response.content else None


def _passes(error: BaseException) -> bool:
    """Whether it may be over in a moment."""
    if isinstance(error, exceptions.HttpException):
        return error.status_code in _AWAY
    # A certificate does not get better.
    return isinstance(
        error, auth_exceptions.ConnectFailure | auth_exceptions.UnknownConnectionError
    ) and not isinstance(error, auth_exceptions.SSLError)
