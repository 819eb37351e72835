# SPDX-License-Identifier: Apache-2.0
"""Limit the time of each request to a cloud, from the look-up of the name to the last byte.

Also its size, since a server may send much in the time that it has.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter

from nova_gpu_passthrough import waiting
from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
    from openstack.connection import Connection

#: Seconds that a request may take, unless clouds.yaml (``api_timeout``) or --timeout sets it.
SECONDS = 30.0
_MAX_SECONDS = 86400.0
#: A page of 1,000 servers has 5 MiB.
_MAX_BYTES = 256 * 2**20
_CHUNK = 2**20


def limit_requests(connection: "Connection", describe: Callable[[str], str]) -> None:
    """Limit the time of all requests of a connection.

    :param describe: returns the name of the service at a URL
    :raises UserError: if the configured limit is no usable number of seconds
    """
    session = connection.session
    if session.timeout is None:
        session.timeout = SECONDS
    if not 0 < session.timeout <= _MAX_SECONDS:
        raise UserError(
            f"timeout {session.timeout:g}: expected seconds, at most {_MAX_SECONDS:.0f}; see "
            "--timeout and api_timeout in clouds.yaml"
        )
    http = session.session
    for prefix, adapter in list(http.adapters.items()):
        http.mount(prefix, TimeLimitedAdapter(adapter, session.timeout, describe))


class ResponseLimitError(requests.ConnectionError):
    """A response exceeds a limit; the message is a sentence about the server."""


class TimeLimitedAdapter(BaseAdapter):
    """Sends requests through another adapter, and waits so long for each whole response.

    After a server has let one request time out, it gets no other for as long: a command sends many,
    libraries send them again, and the limits would add up.
    """

    def __init__(
        self, adapter: BaseAdapter, seconds: float, describe: Callable[[str], str]
    ) -> None:
        super().__init__()
        self._adapter = adapter
        self._seconds = seconds
        self._describe = describe
        #: The time until which servers get no request, by host and port.
        self._silent: dict[str, float] = {}
        self._reported: set[str] = set()

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: dict[str, str] | None = None,
    ) -> requests.Response:
        """Send a request and read its response.

        :raises ResponseLimitError: if the response is not complete in time, or too large
        """
        url = str(request.url).partition("?")[0]
        server = urlsplit(url).netloc

        def exchange() -> requests.Response:
            response = self._adapter.send(
                request, stream=stream, timeout=timeout, verify=verify, cert=cert, proxies=proxies
            )
            if not stream:
                _read(response)
            return response

        def report(waited: float) -> None:
            if server not in self._reported:
                self._reported.add(server)
                waiting.notify(
                    f"waiting for {self._describe(url)} at {url}: no response for {waited:g} s; "
                    f"the limit is {self._seconds:g} s (--timeout)"
                )

        try:
            if time.monotonic() < self._silent.get(server, 0):
                raise TimeoutError
            return waiting.limited(exchange, self._seconds, report)
        except (TimeoutError, requests.Timeout):
            self._silent[server] = time.monotonic() + self._seconds
            raise ResponseLimitError(
                f"it did not respond within {self._seconds:g} s; see --timeout", request=request
            ) from None

    def close(self) -> None:
        """Close the connections."""
        self._adapter.close()


def _read(response: requests.Response) -> None:
    """Read a response and keep its content, which a session does only after this module."""
    chunks, left = [], _MAX_BYTES
    for chunk in response.iter_content(_CHUNK):
        chunks.append(chunk)
        left -= len(chunk)
        if left < 0:
            response.close()
            raise ResponseLimitError(
                f"its response has more than {_MAX_BYTES // 2**20} MiB", request=response.request
            )
    response._content = b"".join(chunks)
