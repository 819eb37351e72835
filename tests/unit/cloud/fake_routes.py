# SPDX-License-Identifier: Apache-2.0
"""What the stand-ins of services share: paths to methods, and errors as OpenStack tells them."""

import json
import re
from urllib.parse import parse_qs, urlsplit

#: Names of an error's envelope in Nova's answers (nova/api/openstack/wsgi.py, Fault).
FAULTS = {400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound"}
FAULTS |= {409: "conflictingRequest", 503: "serviceUnavailable"}


class Failure(Exception):
    """A service's refusal."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


def route(method, path):
    """A method of a `Service` for requests; ``{name}`` in the path becomes an argument."""
    pattern = re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path) + "$")

    def mark(function):
        function.routes = [*getattr(function, "routes", ()), (method, pattern)]
        return function

    return mark


class Query:
    """What a method gets to know of a request."""

    def __init__(self, request):
        parts = urlsplit(request.url)
        self.parameters = {key: values[-1] for key, values in parse_qs(parts.query, True).items()}
        self.body = json.loads(request.body) if request.body else None
        self.headers = request.headers


class Service:
    """A service whose methods are marked by `route`."""

    def __init__(self):
        self._routes = [
            (method, pattern, getattr(self, name))
            for name in dir(type(self))
            for method, pattern in getattr(getattr(type(self), name), "routes", ())
        ]

    def answer(self, method, path, request):
        """Status and body (None for no body) for a request below the service's endpoint."""
        for wanted, pattern, function in self._routes:
            found = pattern.match(path)
            if found and wanted == method:
                try:
                    result = function(Query(request), **found.groupdict())
                except Failure as failure:
                    return failure.status, self.fault(failure)
                return result if isinstance(result, tuple) else (200, result)
        return 404, self.fault(Failure(404, f"the stand-in does not know {method} {path}"))

    def fault(self, failure):
        """The body of a refusal."""
        name = FAULTS.get(failure.status, "computeFault")
        return {name: {"code": failure.status, "message": failure.message}}


def found(collection, key):
    """A member, or 404."""
    if key not in collection:
        raise Failure(404, f"{key} could not be found.")
    return collection[key]
