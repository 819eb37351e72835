# SPDX-License-Identifier: Apache-2.0
"""Who holds the devices that are in use."""

from collections.abc import Iterable, Mapping, Sequence

from nova_gpu_passthrough.cloud.view import consumers, providers, servers
from nova_gpu_passthrough.cloud.view.api import Api
from nova_gpu_passthrough.cloud.view.consumers import Migration
from nova_gpu_passthrough.cloud.view.devices import Holder
from nova_gpu_passthrough.cloud.view.model import Server
from nova_gpu_passthrough.cloud.view.providers import Provider
from nova_gpu_passthrough.cloud.view.sources import Source

#: Units held by consumer, by provider.
_Held = Mapping[str, Mapping[str, int]]


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
        if (
            why := consumers.wrong(
                consumer, source.name_in_nova, known[consumer], moves.get(consumer)
            )
        )
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
        return consumers.wrong_share(server, held)
    return consumers.move(move, known.get(move.server)) if move else ""


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
        if consumers.devices_wanted(server.extra_specs) != 0
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
    found = api.each("moves of servers", hosts, lambda host: consumers.migrations(api, host))
    return {key: move for moves in found for key, move in moves.items()}


def _gone(api: Api, suspects: set[str]) -> set[str]:
    """Consumers that hold nothing any more: they were deleted while the cloud was read."""
    order = sorted(suspects)
    still = {consumer for units in providers.holdings(api, order).values() for consumer in units}
    return suspects - still
