# SPDX-License-Identifier: Apache-2.0
"""A WSGI application around Placement's own, which answers queries for several devices.

All other requests pass through unchanged. A query for several devices becomes one query for each
kind of device, which Placement's own application answers with the same credentials, and the answers
are combined. Whatever is unusual is left to Placement: the query passes through.
"""

import json
import logging
import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import microversion_parse
import webob

from nova_gpu_passthrough.placement import combined_candidates, device_groups

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOG = logging.getLogger(__name__)

_PATH = "/allocation_candidates"
#: Since this microversion candidates say which provider serves which group.
_LEAST_VERSION = (1, 34)


class DeviceCandidates:
    """The application around Placement's."""

    def __init__(
        self, application: "WSGIApplication", max_candidates: int = -1, randomize: bool = False
    ) -> None:
        """Wrap an application.

        :param max_candidates: Placement's option max_allocation_candidates; -1: no limit
        :param randomize: Placement's option randomize_allocation_candidates
        """
        self._application = application
        self._max_candidates = max_candidates
        self._rng = random.Random() if randomize else None
        self._warned = False

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a request."""
        response: WSGIApplication | None = None
        if environ.get("REQUEST_METHOD") == "GET" and environ.get("PATH_INFO") == _PATH:
            response = self._combined(environ)
        return (response or self._application)(environ, start_response)

    def _combined(self, environ: "WSGIEnvironment") -> webob.Response | None:
        """Return the answer to a query for several devices; None: Placement's answer will do."""
        query = device_groups.parse(environ.get("QUERY_STRING", ""))
        if query is None or not _is_supported(environ):
            return None
        answers: list[dict[str, Any]] = []
        try:
            for kind in query.kinds:
                request = webob.Request(environ).copy_get()
                request.query_string = query.query_string(kind)
                response = request.get_response(self._application)
                if response.status_int != 200:
                    # Placement refuses the whole query, too, and knows best what to say.
                    return None
                answers.append(response.json)
                count = len(answers[-1]["allocation_requests"])
                if not count:
                    # No host has such a device.
                    return response
                if self._is_truncated(count):
                    return None
            answer = combined_candidates.combine(query, answers, self._rng)
        except combined_candidates.NotSeparableError:
            return None
        except (AttributeError, KeyError, TypeError, ValueError):
            LOG.warning("Placement's candidates have an unknown form", exc_info=True)
            return None
        response.body = json.dumps(answer).encode()
        return response

    def _is_truncated(self, count: int) -> bool:
        """Check whether Placement may have left out devices; warn about it once."""
        if not 0 <= self._max_candidates <= count:
            return False
        if not self._warned:
            self._warned = True
            LOG.warning(
                "Queries for several devices are left to Placement, since there are more than "
                "%d candidates for one device: set [placement] max_allocation_candidates to more "
                "than the number of free devices",
                self._max_candidates,
            )
        return True


def _is_supported(environ: "WSGIEnvironment") -> bool:
    """Check whether the request's microversion has mappings; an invalid one is for Placement."""
    headers: Any = webob.Request(environ).headers
    try:
        text = microversion_parse.get_version(headers, service_type="placement")
        if text == "latest":
            return True
        major, minor = map(int, (text or "").split("."))
    except (TypeError, ValueError):
        return False
    return (major, minor) >= _LEAST_VERSION
