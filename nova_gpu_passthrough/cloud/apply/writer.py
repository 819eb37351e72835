# SPDX-License-Identifier: Apache-2.0
"""Requests to Nova, Placement and Keystone that are retried while a service restarts.

A request is repeated a few times if the service is unavailable or fails, as it does while its
database or message broker restarts. So a request may have taken effect although no response
arrived: code that creates an object must expect that the object exists already.
"""

import functools
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import tenacity
from keystoneauth1 import exceptions as auth_exceptions
from openstack import exceptions

from nova_gpu_passthrough.cloud.view import reader

if TYPE_CHECKING:
    from openstack.connection import Connection

#: The newest microversion of each service that this code knows; Keystone has none.
MICROVERSIONS = {"compute": reader.NOVA, "placement": reader.PLACEMENT, "identity": None}
#: Statuses of a service that is unavailable for a moment, or of the proxy in front of it.
_UNAVAILABLE = (429, 500, 502, 503, 504)
#: Attempts of each request while changes are made.
MAX_ATTEMPTS = 6
#: Seconds between attempts: 0.5, 1, 2, 4, 8.
_PAUSE = tenacity.wait_exponential(0.5, max=8)


class Response(NamedTuple):
    """The response of a service to a request that succeeded."""

    body: Any
    status: int
    #: Whether the request was sent more than once: an earlier attempt may have taken effect.
    retried: bool


class RequestRefused(Exception):
    """A service refuses a change; a retry would not help."""

    def __init__(self, error: exceptions.HttpException, retried: bool) -> None:
        super().__init__(str(error))
        self.error, self.retried = error, retried

    @property
    def status(self) -> int:
        """The HTTP status, from 400 to 499."""
        return self.error.status_code or 0


class Interrupted(Exception):
    """The run was interrupted (Ctrl-C), so no further request is sent."""


class CloudWriter(reader.CloudReader):
    """Reads from one cloud, and changes it."""

    def __init__(self, connection: "Connection", progress: reader.Progress | None = None) -> None:
        super().__init__(connection, progress)
        self.connection = connection
        #: Once it is set, no further request is sent.
        self.stop = threading.Event()
        #: Most attempts of each request. One is enough for commands that only read.
        self.attempts = 1
        self.pause: tenacity.wait.WaitBaseT = _PAUSE

    def nova(self, path: str, version: str = reader.NOVA, **parameters: Any) -> Any:
        """Return the body of Nova's response to a GET request."""
        return self.send("compute", "GET", path, parameters=parameters, version=version).body

    def placement(self, path: str, **parameters: Any) -> Any:
        """Return the body of Placement's response to a GET request."""
        return self.send("placement", "GET", path, parameters=parameters).body

    def keystone(self, path: str, **parameters: Any) -> Any:
        """Return the body of Keystone's response to a GET request."""
        return self.send("identity", "GET", path, parameters=parameters).body

    @functools.cached_property
    def project_domain_id(self) -> str | None:
        """The id of the domain of the caller's project."""
        session = self.connection.session
        get_access = getattr(session.auth, "get_access", None)
        access = get_access(session) if get_access else None
        domain_id: str | None = access.project_domain_id if access else None
        return domain_id

    def send(
        self,
        service: str,
        method: str,
        path: str,
        body: Any = None,
        parameters: Mapping[str, Any] | None = None,
        version: str | None = None,
    ) -> Response:
        """Send a request, up to ``attempts`` times if the service is unavailable.

        :param service: compute, placement or identity
        :param version: a microversion other than the default one
        :raises RequestRefused: if the service refuses the change
        :raises Interrupted: if `stop` was set before the request was sent
        :raises openstack.exceptions.HttpException: if a GET request fails, authentication fails, or
            every attempt failed
        :raises keystoneauth1.exceptions.ConnectFailure: if the service cannot be reached
        """
        url = f"{path}?{urlencode(parameters)}" if parameters else path
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_transient),
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=self.pause,
            sleep=tenacity.nap.sleep_using_event(self.stop),
            reraise=True,
        )
        attempts = 0

        def attempt() -> Response:
            nonlocal attempts
            if self.stop.is_set():
                raise Interrupted
            attempts += 1
            default = MICROVERSIONS[service]
            status, content = self.request(service, method, url, body, version or default)
            return Response(content, status, attempts > 1)

        try:
            return retrying(attempt)
        except exceptions.HttpException as error:
            status = error.status_code or 0
            if method == "GET" or status == 401 or not 400 <= status < 500:
                raise
            raise RequestRefused(error, attempts > 1) from error

    def request(
        self, service: str, method: str, url: str, body: Any, version: str | None
    ) -> tuple[int, Any]:
        """Send one request; return the status and body of the response."""
        response = getattr(self.connection, service).request(
            url, method, json=body, microversion=version
        )
        exceptions.raise_from_response(response)
        return response.status_code, response.json() if response.content else None


def _is_transient(error: BaseException) -> bool:
    """Check whether a retry of the request may succeed."""
    if isinstance(error, exceptions.HttpException):
        return error.status_code in _UNAVAILABLE
    # A retry does not fix a certificate.
    return isinstance(
        error, auth_exceptions.ConnectFailure | auth_exceptions.UnknownConnectionError
    ) and not isinstance(error, auth_exceptions.SSLError)
