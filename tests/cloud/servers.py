# SPDX-License-Identifier: Apache-2.0
"""Servers for tests: booted by a tenant, deleted at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from openstack import exceptions
from openstack.connection import Connection

from tests.cloud import image
from tests.cloud.control_plane import ControlPlane

#: Seconds for a boot or a deletion while services restart.
TIMEOUT = 120
#: Attempts to create a server.
_AT_A_TIME = 20


@contextmanager
def flavor(
    admin: Connection, name: str, vcpus: int, ram: int, specs: Mapping[str, str]
) -> Iterator[Any]:
    """Create a public flavor."""
    made = admin.compute.create_flavor(name=name, vcpus=vcpus, ram=ram, disk=10)
    admin.compute.create_flavor_extra_specs(made, dict(specs))
    try:
        yield made
    finally:
        admin.compute.delete_flavor(made)


@contextmanager
def server(cloud: Connection, flavor: Any, name: str = "server") -> Iterator[Any]:
    """Boot a server without networks; it is ACTIVE or in ERROR then."""
    made = cloud.compute.create_server(
        name=name,
        flavor_id=flavor.id,
        image_id=cloud.image.find_image(image.NAME).id,
        networks="none",
    )
    try:
        with suppress(exceptions.ResourceFailure):
            cloud.compute.wait_for_server(made, interval=0.5, wait=TIMEOUT)
        yield cloud.compute.get_server(made)
    finally:
        cloud.compute.delete_server(made)
        cloud.compute.wait_for_delete(made, interval=0.5, wait=TIMEOUT)


@contextmanager
def many(
    plane: ControlPlane, flavor: str, count: int, meanwhile: Callable[[], None] = lambda: None
) -> Iterator[list[str]]:
    """Boot servers of a tenant at the same time; yield their ids once they are ACTIVE or in ERROR.

    Requests that Nova refuses, since it has no database then, are no servers.

    :param meanwhile: called while they boot
    """
    with plane.connection("tenant") as tenant, ThreadPoolExecutor(_AT_A_TIME) as pool:
        flavor_id = tenant.compute.find_flavor(flavor, ignore_missing=False).id
        disk = tenant.image.find_image(image.NAME).id

        def boot(number: int) -> str:
            # Threads must not share connections.
            with plane.connection("tenant") as cloud:
                made = cloud.compute.create_server(
                    name=f"{flavor}-{number}", flavor_id=flavor_id, image_id=disk, networks="none"
                )
            return str(made.id)

        def listed() -> dict[str, str]:
            return {server.id: server.status for server in tenant.compute.servers()}

        booting = [pool.submit(boot, number) for number in range(count)]
        try:
            meanwhile()
            ids = [future.result() for future in booting if not _is_refused(future)]
            _until(lambda: "BUILD" not in [listed()[one] for one in ids], "servers have booted")
            yield ids
        finally:
            made = [future.result() for future in booting if not future.exception()]
            for one in made:
                tenant.compute.delete_server(one)
            _until(lambda: not listed().keys() & set(made), "servers are deleted")


def _is_refused(future: Future[str]) -> bool:
    return isinstance(future.exception(), exceptions.HttpException)


def act(cloud: Connection, server: Any, action: Callable[[Any], object]) -> str:
    """Ask Nova for an action on a server, and wait for its end; return the server's status."""

    def is_idle() -> bool:
        now = cloud.compute.get_server(server)
        return now.task_state is None and now.status != "BUILD"

    done = {one.request_id for one in cloud.compute.server_actions(server)}
    action(server)
    _until(is_idle, "the action has ended")
    (last,) = [a for a in cloud.compute.server_actions(server) if a.request_id not in done]
    assert last.message is None, f"{last.action}: {last.message}"
    return str(cloud.compute.get_server(server).status)


def wait_until_active(status: Callable[[], str]) -> None:
    """Wait for a server's boot.

    :param status: returns its status
    """
    _until(lambda: status() != "BUILD", "the server has booted")
    assert status() == "ACTIVE"


def wait_until_gone(listed: Callable[[], Container[str]], server: str) -> None:
    """Wait until a server is no longer listed."""
    _until(lambda: server not in listed(), "the server is deleted")


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, f"it took more than {TIMEOUT} s until {what}"
        time.sleep(0.5)
