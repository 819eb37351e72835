# SPDX-License-Identifier: Apache-2.0
"""Base of the fake services: routes from paths to methods, and OpenStack's error responses."""

import json
import re
from urllib.parse import parse_qs, urlsplit

#: Keys of Nova's error responses by status (nova/api/openstack/wsgi.py, Fault).
FAULTS = {400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound"}
FAULTS |= {409: "conflictingRequest", 503: "serviceUnavailable"}


class HttpError(Exception):
    """An error response of a service."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


def route(method, path):
    """Mark a method of a `Service` as the handler of requests; ``{name}`` becomes an argument."""
    pattern = re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path) + "$")

    def mark(function):
        function.routes = [*getattr(function, "routes", ()), (method, pattern)]
        return function

    return mark


class Request:
    """A request as its handler gets it."""

    def __init__(self, request):
        parts = urlsplit(request.url)
        self.parameters = {key: values[-1] for key, values in parse_qs(parts.query, True).items()}
        self.body = json.loads(request.body) if request.body else None
        self.headers = request.headers


class Service:
    """A fake service whose handlers are marked by `route`."""

    def __init__(self):
        self._routes = [
            (method, pattern, getattr(self, name))
            for name in dir(type(self))
            for method, pattern in getattr(getattr(type(self), name), "routes", ())
        ]

    def answer(self, method, path, request):
        """Return status and body (None for no body) for a request below the service's endpoint."""
        for handled, pattern, function in self._routes:
            match = pattern.match(path)
            if match and handled == method:
                try:
                    result = function(Request(request), **match.groupdict())
                except HttpError as failure:
                    return failure.status, self.fault(failure)
                return result if isinstance(result, tuple) else (200, result)
        return 404, self.fault(HttpError(404, f"the fake service has no route {method} {path}"))

    def fault(self, failure):
        """Return the body of an error response."""
        name = FAULTS.get(failure.status, "computeFault")
        return {name: {"code": failure.status, "message": failure.message}}


def get_or_404(collection, key):
    """Return a member of a collection, or respond with status 404."""
    if key not in collection:
        raise HttpError(404, f"{key} could not be found.")
    return collection[key]
