# SPDX-License-Identifier: Apache-2.0
"""Who holds the devices that are in use."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.view import providers, servers
from nova_gpu_passthrough.cloud.view.api import Api
from nova_gpu_passthrough.cloud.view.devices import Holder
from nova_gpu_passthrough.cloud.view.model import Server
from nova_gpu_passthrough.cloud.view.providers import Provider
from nova_gpu_passthrough.cloud.view.sources import Source

#: Units held by consumer, by provider.
_Held = Mapping[str, Mapping[str, int]]


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


def find(api: Api, sources: Sequence[Source], others: Iterable[Server], judge: bool) -> None:
    """Put the holders of all devices into their hosts.

    :param others: servers on none of the hosts that are known already
    :param judge: whether to find out who holds a device wrongly
    """
    held = _held(api, sources)
    if not judge:
        for source, mine in _by_source(sources, held):
            source.holders = {
                provider: [Holder(consumer) for consumer in units]
                for provider, units in mine.items()
            }
        return
    known: dict[str, Server | None] = {server.id: server for server in others}
    known |= {server.id: server for source in sources for server in source.servers}
    strangers = sorted({consumer for units in held.values() for consumer in units} - known.keys())
    found = api.each("consumers of devices", strangers, lambda key: servers.show(api, key))
    known |= dict(zip(strangers, found, strict=True))
    moves = _moves(api, sources, held, known)
    wrong = {
        (source.name, consumer): why
        for source, mine in _by_source(sources, held)
        for units in mine.values()
        for consumer in units
        if (why := why_wrong(consumer, source.name_in_nova, known[consumer], moves.get(consumer)))
    }
    gone = _gone(api, {consumer for _, consumer in wrong})
    for source, mine in _by_source(sources, held):
        totals: dict[str, int] = {}
        for units in mine.values():
            for consumer, count in units.items():
                totals[consumer] = totals.get(consumer, 0) + count
        source.judged = True
        source.holders = {
            provider: [
                Holder(
                    consumer,
                    wrong.get((source.name, consumer), ""),
                    ""
                    if (source.name, consumer) in wrong
                    else _remark(consumer, totals[consumer], known, moves),
                )
                for consumer in units
                if consumer not in gone
            ]
            for provider, units in mine.items()
        }


def _remark(
    consumer: str, held: int, known: Mapping[str, Server | None], moves: Mapping[str, Migration]
) -> str:
    server, move = known[consumer], moves.get(consumer)
    if server is not None:
        return wrong_share(server, held)
    return describe_migration(move, known.get(move.server)) if move else ""


def _held(api: Api, sources: Sequence[Source]) -> _Held:
    """Who holds how much of each device in use, by as few requests as possible."""
    used = {
        device.uuid: device
        for source in sources
        if source.tree
        for device in source.tree.devices
        if _used(device)
    }
    askers = [
        server.id
        for source in sources
        for server in source.servers
        if devices_wanted(server.extra_specs) != 0
    ]
    held: dict[str, Mapping[str, int]] = {}
    if len(askers) < len(used):
        held |= {
            provider: units
            for provider, units in providers.holdings(api, askers).items()
            if provider in used
        }
    rest = [key for key in used if sum(held.get(key, {}).values()) < _used(used[key])]
    return held | providers.allocations(api, rest)


def _used(device: Provider) -> int:
    return sum(resource.used for resource in device.resources.values())


def _by_source(sources: Iterable[Source], held: _Held) -> list[tuple[Source, _Held]]:
    return [
        (
            source,
            {
                device.uuid: held[device.uuid]
                for device in source.tree.devices
                if device.uuid in held
            },
        )
        for source in sources
        if source.tree
    ]


def _moves(
    api: Api, sources: Sequence[Source], held: _Held, known: Mapping[str, Server | None]
) -> dict[str, Migration]:
    """Moves to and from the hosts on which a consumer is no server."""
    hosts = [
        source.name_in_nova
        for source, mine in _by_source(sources, held)
        if any(known[consumer] is None for units in mine.values() for consumer in units)
    ]
    found = api.each("moves of servers", hosts, lambda host: migrations(api, host))
    return {key: move for moves in found for key, move in moves.items()}


def _gone(api: Api, suspects: set[str]) -> set[str]:
    """Consumers that hold nothing any more: they were deleted while the cloud was read."""
    order = sorted(suspects)
    still = {consumer for units in providers.holdings(api, order).values() for consumer in units}
    return suspects - still


#: States of servers that are on the way, beside any that has a task.
_MOVING = frozenset(("BUILD", "MIGRATING", "REBUILD", "RESIZE", "REVERT_RESIZE", "VERIFY_RESIZE"))


#: A cell that cannot be reached: nothing is known.
_UNKNOWN = "UNKNOWN"


#: Migrations that have ended (``migration_get_in_progress_by_host_and_node`` in
#: nova/db/main/api.py); "finished" waits to be confirmed.
_ENDED = frozenset(
    ("confirmed", "reverted", "error", "failed", "completed", "cancelled", "done", "converted")
)


def migrations(api: Api, host: str) -> dict[str, Migration]:
    """Moves to and from a host, past ones included, by their UUID."""
    moves = (
        Migration(move["uuid"], move["instance_uuid"], move["status"])
        for move in api.pages("/os-migrations", "migrations", key="uuid", host=host)
    )
    return {move.uuid: move for move in moves}


def why_wrong(consumer: str, host: str, server: Server | None, migration: Migration | None) -> str:
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


def describe_migration(migration: Migration, server: Server | None) -> str:
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
