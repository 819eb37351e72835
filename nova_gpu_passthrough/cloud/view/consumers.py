# SPDX-License-Identifier: Apache-2.0
"""Who holds devices in Placement, and whether that is right."""

from collections.abc import Mapping
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.view.api import Api
from nova_gpu_passthrough.cloud.view.model import Server

#: States of servers that are on the way, beside any that has a task.
_MOVING = frozenset(("BUILD", "MIGRATING", "REBUILD", "RESIZE", "REVERT_RESIZE", "VERIFY_RESIZE"))
#: A cell that cannot be reached: nothing is known.
_UNKNOWN = "UNKNOWN"
#: Migrations that have ended (``migration_get_in_progress_by_host_and_node`` in
#: nova/db/main/api.py); "finished" waits to be confirmed.
_ENDED = frozenset(
    ("confirmed", "reverted", "error", "failed", "completed", "cancelled", "done", "converted")
)


@dataclass(frozen=True)
class Migration:
    """A move of a server, which holds what the server has on the host it leaves."""

    uuid: str
    server: str
    status: str

    @property
    def ended(self) -> bool:
        """Whether it holds nothing any more, if all went well."""
        return self.status in _ENDED


def migrations(api: Api, host: str) -> dict[str, Migration]:
    """Moves to and from a host, past ones included, by their UUID."""
    moves = (
        Migration(move["uuid"], move["instance_uuid"], move["status"])
        for move in api.pages("/os-migrations", "migrations", key="uuid", host=host)
    )
    return {move.uuid: move for move in moves}


def wrong(consumer: str, host: str, server: Server | None, migration: Migration | None) -> str:
    """Why a consumer should not hold a device of a host; empty if it may.

    :param server: the server of that UUID, wherever it is
    :param migration: the move of that UUID
    """
    if server is not None:
        if server.host == host or server.status in (*_MOVING, _UNKNOWN) or server.task_state:
            return ""
        where = f"on {server.host}" if server.host else "on no host"
        return (
            f"allocated to server {server.name} ({server.id}), which is {where} "
            f"({server.status}): after an evacuation, start nova-compute on {host} again, which "
            f"frees it; else see nova-manage placement audit"
        )
    if migration is not None:
        if not migration.ended:
            return ""
        return (
            f"allocated to a move of server {migration.server} that has ended "
            f"({migration.status}): see nova-manage placement audit"
        )
    return (
        f"allocated to {consumer}, which is no server (any more): free it with "
        "nova-manage placement audit --delete"
    )


def move(migration: Migration, server: Server | None) -> str:
    """For whom a move holds a device."""
    name = server.name if server else migration.server
    return f"held for server {name} until its move ({migration.status}) is over or confirmed"


def wrong_share(server: Server, held: int) -> str:
    """Why a server holds more devices of its host than it asked for; empty if it does not.

    After a resize, a cold migration or an evacuation Nova takes other devices than were chosen,
    and both stay allocated until the server is deleted (``_move_claim`` in
    nova/compute/resource_tracker.py).
    """
    moving = server.status in _MOVING or server.task_state
    wanted = None if moving else devices_wanted(server.extra_specs)
    if wanted is None or held <= wanted:
        return ""
    return (
        f"server {server.name} holds {held} devices of this host and its flavor asks for {wanted}: "
        "Nova took others when it moved the server, and gives back all when it is deleted"
    )


def devices_wanted(extra_specs: Mapping[str, str]) -> int | None:
    """PCI devices of all aliases that a flavor asks for; None if that is not to be read."""
    total = 0
    for part in extra_specs.get("pci_passthrough:alias", "").split(","):
        if part.strip():
            name, _, count = part.rpartition(":")
            if not name or not count.strip().isdigit():
                return None
            total += int(count)
    return total
