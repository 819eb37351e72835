# SPDX-License-Identifier: Apache-2.0
"""GET requests to Nova and Placement, several at a time.

A cloud with many GPU hosts takes thousands of requests, and Nova and Placement answer several at
once. Keystoneauth's session is what threads share, as Nova's own services do; the openstacksdk
objects that it is made of are made before the first thread starts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from openstack import exceptions

if TYPE_CHECKING:
    from openstack.connection import Connection

#: Nova 31 (2025.1) and newer: servers tell properties of their images.
NOVA = "2.98"
#: Placement 7 (Yoga) and newer: ``required=in:``.
PLACEMENT = "1.39"
#: Requests at the same time; requests' pool of connections holds ten.
_THREADS = 8
#: Nova's most (``[api] max_limit``), unless its operator set less.
_PAGE = 1000

_T = TypeVar("_T")
_R = TypeVar("_R")

#: Gets to know what is read, how much of it was read, and how much there is.
Tell = Callable[[str, int, int], None]


class Api:
    """Reads from one cloud."""

    def __init__(self, connection: "Connection", tell: Tell | None = None) -> None:
        # Each of these asks the service for its versions.
        self._nova, self._placement = connection.compute, connection.placement
        self._tell: Tell = tell or (lambda what, done, total: None)

    def nova(self, path: str, **parameters: Any) -> Any:
        """What Nova answers.

        :raises openstack.exceptions.HttpException: if it refuses
        """
        return _get(self._nova, NOVA, path, parameters)

    def placement(self, path: str, **parameters: Any) -> Any:
        """What Placement answers.

        :raises openstack.exceptions.HttpException: if it refuses
        """
        return _get(self._placement, PLACEMENT, path, parameters)

    def pages(
        self, path: str, name: str, key: str = "id", **parameters: Any
    ) -> Iterator[Mapping[str, Any]]:
        """Members of one of Nova's collections, page after page.

        :param key: what tells the members apart
        """
        wanted = {"limit": _PAGE, **parameters}
        while True:
            body = self.nova(path, **wanted)
            members: list[Mapping[str, Any]] = body[name]
            yield from members
            if not members or f"{name}_links" not in body:
                return
            wanted["marker"] = members[-1][key]

    def each(self, what: str, items: Iterable[_T], read: Callable[[_T], _R]) -> list[_R]:
        """What a function returns for each item, in their order; several at a time.

        :param what: told to whoever waits
        """
        todo: Sequence[_T] = list(items)
        if not todo:
            return []
        done: list[_R] = []
        # Its threads, unlike those of concurrent.futures, do not keep the program from ending
        # while a request hangs: after Ctrl-C, or when another has failed.
        with ThreadPool(min(_THREADS, len(todo))) as pool:
            for result in pool.imap(read, todo):
                done.append(result)
                self._tell(what, len(done), len(todo))
        return done


def absent(error: exceptions.HttpException) -> bool:
    """Whether a service said that a thing does not exist."""
    return error.status_code == 404


def _get(service: Any, version: str, path: str, parameters: Mapping[str, Any]) -> Any:
    url = f"{path}?{urlencode(parameters)}" if parameters else path
    response = service.get(url, microversion=version)
    exceptions.raise_from_response(response)
    return response.json()
