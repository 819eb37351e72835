# SPDX-License-Identifier: Apache-2.0
"""Send GET requests to Nova, Placement and Keystone, several at a time.

A cloud with many GPU hosts needs thousands of requests, and Nova and Placement serve several at
once. The threads share a keystoneauth session, as Nova's own services do; the openstacksdk objects
are created before the first thread starts.
"""

import enum
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from openstack import exceptions

from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
    from openstack.connection import Connection

#: Nova 31 (2025.1) and newer: server details include image properties.
NOVA = "2.98"
#: The last one in which hypervisors have ``cpu_info``. With later ones Nova may ask each host for
#: its uptime.
HYPERVISORS = "2.87"
#: Nova 31 (2025.1) and newer: a server has its scheduler hints.
SCHEDULER_HINTS = "2.100"
#: Placement 7 (Yoga) and newer: ``required=in:``.
PLACEMENT = "1.39"
#: Concurrent requests; the connection pool of the requests library holds ten.
_THREADS = 8
#: Nova's maximum page size (``[api] max_limit``), unless its operator set a lower one.
_PAGE = 1000

_T = TypeVar("_T")
_R = TypeVar("_R")


class Restricted(enum.Enum):
    """What users without the role admin may not read by default, with the effect."""

    AGGREGATES = "aggregates are not shown, and what they require of servers is not considered"
    SERVERS = (
        "servers are not shown, stuck GPUs are not recognized, and which CPUs and memory of NUMA "
        "nodes are free is not known"
    )
    MIGRATIONS = "GPUs of moving servers and stuck GPUs cannot be told apart: both are in use"
    TOPOLOGIES = (
        "which CPUs and memory of NUMA nodes other projects' servers use is not known, so only "
        "those of whole hosts are considered"
    )
    FLAVOR_ACCESS = "it is not known which projects may use private flavors"
    FLAVORS = "private flavors are not listed"
    FLAVORS_OF_FLEET = "private flavors are not listed: those of the fleet file count as it says"


#: Callback that receives what is being read, how many items were read, and how many there are.
Progress = Callable[[str, int, int], None]


class CloudReader:
    """Reads from one cloud."""

    def __init__(self, connection: "Connection", progress: Progress | None = None) -> None:
        # Each of these requests the service's list of versions.
        self._nova, self._placement = connection.compute, connection.placement
        self._connection = connection
        self._progress: Progress = progress or (lambda what, done, total: None)
        #: What the caller may not read, in the order in which that was noticed.
        self.restricted: dict[Restricted, None] = {}

    def nova(self, path: str, version: str = NOVA, **parameters: Any) -> Any:
        """Return the body of Nova's response.

        :param version: the microversion
        :raises openstack.exceptions.HttpException: if Nova rejects the request
        """
        return _get(self._nova, version, path, parameters)

    def placement(self, path: str, **parameters: Any) -> Any:
        """Return the body of Placement's response.

        :raises openstack.exceptions.HttpException: if Placement rejects the request
        """
        return _get(self._placement, PLACEMENT, path, parameters)

    def keystone(self, path: str, **parameters: Any) -> Any:
        """Return the body of Keystone's response.

        :raises openstack.exceptions.HttpException: if Keystone rejects the request
        """
        return _get(self._connection.identity, None, path, parameters)

    def limits(self, collection: str, **filters: str) -> list[Mapping[str, Any]]:
        """Return limits of Keystone.

        :param collection: ``limits`` (of projects) or ``registered_limits``
        :raises UserError: if Keystone returns only some of them
        """
        body = self.keystone(f"/{collection}", **filters)
        if body.get("truncated"):
            raise UserError(
                "Keystone returns only some of the limits: raise list_limit in [unified_limit] of "
                "keystone.conf"
            )
        found: list[Mapping[str, Any]] = body[collection]
        return found

    def unless_forbidden(self, what: Restricted, read: Callable[[], _T]) -> _T | None:
        """Return what a function reads; None if a policy forbids it."""
        if what in self.restricted:
            return None
        try:
            return read()
        except exceptions.ForbiddenException:
            self.restricted[what] = None
            return None

    @functools.cached_property
    def is_admin(self) -> bool:
        """Whether the caller has the role admin."""
        return "admin" in self._access.role_names

    def is_hidden(self, project_id: str) -> bool:
        """Check whether Nova may hide single servers of a project, whatever its policy permits.

        To all but administrators its database shows only servers of their own project
        (``project_only`` in nova/db/main/api.py); lists of servers are complete.
        """
        return not self.is_admin and project_id != self._access.project_id

    @functools.cached_property
    def _access(self) -> Any:
        auth: Any = self._connection.session.auth
        return auth.get_access(self._connection.session)

    @property
    def nova_maximum(self) -> tuple[int, int]:
        """The newest microversion of Nova, as its list of versions says."""
        data = self._nova.get_endpoint_data()
        major, minor = (data and data.max_microversion) or (2, 1)
        return int(major), int(minor)

    def pages(
        self, path: str, name: str, key: str = "id", version: str = NOVA, **parameters: Any
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the members of one of Nova's collections, page after page.

        :param key: the field that identifies a member
        :param version: the microversion
        """
        query = {"limit": _PAGE, **parameters}
        while True:
            body = self.nova(path, version, **query)
            members: list[Mapping[str, Any]] = body[name]
            yield from members
            if not members or f"{name}_links" not in body:
                return
            query["marker"] = members[-1][key]

    def each(self, what: str, items: Iterable[_T], read: Callable[[_T], _R]) -> list[_R]:
        """Call a function for each item, several at a time, and return the results in order.

        :param what: name of the items for the progress callback
        """
        todo: Sequence[_T] = list(items)
        if not todo:
            return []
        done: list[_R] = []
        # Unlike the threads of concurrent.futures, these do not keep the program from ending
        # while a request hangs: after Ctrl-C, or when another request has failed.
        with ThreadPool(min(_THREADS, len(todo))) as pool:
            for result in pool.imap(read, todo):
                done.append(result)
                self._progress(what, len(done), len(todo))
        return done


def is_not_found(error: exceptions.HttpException) -> bool:
    """Check whether a service answered that an object does not exist."""
    return error.status_code == 404


def _get(service: Any, version: str | None, path: str, parameters: Mapping[str, Any]) -> Any:
    url = f"{path}?{urlencode(parameters)}" if parameters else path
    response = service.get(url, microversion=version)
    exceptions.raise_from_response(response)
    return response.json()
