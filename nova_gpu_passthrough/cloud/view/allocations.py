# SPDX-License-Identifier: Apache-2.0
"""Read the consumers of devices, and check their allocations against servers and migrations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.view import providers, servers
from nova_gpu_passthrough.cloud.view.devices import DeviceConsumer
from nova_gpu_passthrough.cloud.view.host_data import HostData
from nova_gpu_passthrough.cloud.view.model import Server
from nova_gpu_passthrough.cloud.view.providers import ResourceProvider
from nova_gpu_passthrough.cloud.view.reader import CloudReader, Restricted
from nova_gpu_passthrough.nova_rules import alias_string

#: Allocated units by consumer, by provider.
_Units = Mapping[str, Mapping[str, int]]

#: States of servers that are being moved, besides any server that has a task.
_MOVING = frozenset(("BUILD", "MIGRATING", "REBUILD", "RESIZE", "REVERT_RESIZE", "VERIFY_RESIZE"))
#: State of a server in a Nova cell that cannot be reached.
_UNKNOWN = "UNKNOWN"
#: States of migrations that have ended (``migration_get_in_progress_by_host_and_node`` in
#: nova/db/main/api.py); a "finished" one still has to be confirmed.
_ENDED = frozenset(
    ("confirmed", "reverted", "error", "failed", "completed", "cancelled", "done", "converted")
)


@dataclass(frozen=True)
class Migration:
    """A migration or resize, the consumer of what its server uses on the source host."""

    uuid: str
    server: str
    status: str

    @property
    def ended(self) -> bool:
        """Whether it has ended, so that it should have no allocations."""
        return self.status in _ENDED


def read(
    reader: CloudReader, hosts: Sequence[HostData], other_servers: Iterable[Server], check: bool
) -> None:
    """Read the consumers of all devices in use, and add them to their hosts.

    :param other_servers: servers that are on none of the hosts and already known
    :param check: whether to check the allocations
    """
    units = _allocated_units(reader, hosts)
    if not check:
        for host, by_provider in _by_host(hosts, units):
            host.consumers = {
                provider: [DeviceConsumer(consumer) for consumer in consumers]
                for provider, consumers in by_provider.items()
            }
        return
    known: dict[str, Server | None] = {server.id: server for server in other_servers}
    known |= {server.id: server for host in hosts for server in host.servers}
    unknown = sorted({key for consumers in units.values() for key in consumers} - known.keys())
    shown = reader.each("consumers of devices", unknown, lambda key: servers.show(reader, key))
    known |= dict(zip(unknown, shown, strict=True))
    moves = _migrations_of_consumers(reader, hosts, units, known)
    # Without migrations any other consumer may be one.
    unclear = Restricted.MIGRATIONS in reader.restricted
    errors = {
        (host.name, consumer): error
        for host, by_provider in _by_host(hosts, units)
        for consumers in by_provider.values()
        for consumer in consumers
        if not (unclear and known[consumer] is None)
        and (
            error := allocation_error(
                consumer, host.compute_host, known[consumer], moves.get(consumer)
            )
        )
    }
    gone = _without_allocations(reader, {consumer for _, consumer in errors})
    for host, by_provider in _by_host(hosts, units):
        totals: dict[str, int] = {}
        for consumers in by_provider.values():
            for consumer, count in consumers.items():
                totals[consumer] = totals.get(consumer, 0) + count
        host.consumers_checked = True
        host.consumers = {
            provider: [
                DeviceConsumer(
                    consumer,
                    errors.get((host.name, consumer), ""),
                    ""
                    if (host.name, consumer) in errors
                    else _note(consumer, totals[consumer], known, moves),
                )
                for consumer in consumers
                if consumer not in gone
            ]
            for provider, consumers in by_provider.items()
        }


def _note(
    consumer: str,
    allocated: int,
    known: Mapping[str, Server | None],
    moves: Mapping[str, Migration],
) -> str:
    server, migration = known[consumer], moves.get(consumer)
    if server is not None:
        return describe_surplus(server, allocated)
    return describe_migration(migration, known.get(migration.server)) if migration else ""


def _allocated_units(reader: CloudReader, hosts: Sequence[HostData]) -> _Units:
    """Read the allocations of all devices in use with as few requests as possible."""
    used = {
        device.uuid: device
        for host in hosts
        if host.tree
        for device in host.tree.devices
        if _used(device)
    }
    servers_with_devices = [
        server.id
        for host in hosts
        for server in host.servers
        if requested_devices(server.extra_specs) != 0
    ]
    units: dict[str, Mapping[str, int]] = {}
    if len(servers_with_devices) < len(used):
        units |= {
            provider: consumers
            for provider, consumers in providers.allocations_of_consumers(
                reader, servers_with_devices
            ).items()
            if provider in used
        }
    rest = [key for key in used if sum(units.get(key, {}).values()) < _used(used[key])]
    return units | providers.allocations_of_providers(reader, rest)


def _used(device: ResourceProvider) -> int:
    return sum(resource.used for resource in device.resources.values())


def _by_host(hosts: Iterable[HostData], units: _Units) -> list[tuple[HostData, _Units]]:
    return [
        (
            host,
            {
                device.uuid: units[device.uuid]
                for device in host.tree.devices
                if device.uuid in units
            },
        )
        for host in hosts
        if host.tree
    ]


def _migrations_of_consumers(
    reader: CloudReader,
    hosts: Sequence[HostData],
    units: _Units,
    known: Mapping[str, Server | None],
) -> dict[str, Migration]:
    """Read the migrations of those hosts that have a consumer which is not a server."""
    names = [
        host.compute_host
        for host, by_provider in _by_host(hosts, units)
        if any(known[key] is None for consumers in by_provider.values() for key in consumers)
    ]
    read = reader.each(
        "migrations of servers",
        names,
        lambda name: (
            reader.unless_forbidden(Restricted.MIGRATIONS, lambda: migrations(reader, name)) or {}
        ),
    )
    return {key: migration for of_host in read for key, migration in of_host.items()}


def _without_allocations(reader: CloudReader, consumers: set[str]) -> set[str]:
    """Return the consumers whose allocations were deleted while the cloud was read."""
    by_provider = providers.allocations_of_consumers(reader, sorted(consumers))
    return consumers - {consumer for units in by_provider.values() for consumer in units}


def migrations(reader: CloudReader, host: str) -> dict[str, Migration]:
    """Read the migrations to and from a host, including those that ended, by UUID."""
    bodies = reader.pages("/os-migrations", "migrations", key="uuid", host=host)
    return {
        body["uuid"]: Migration(body["uuid"], body["instance_uuid"], body["status"])
        for body in bodies
    }


def allocation_error(
    consumer: str, host: str, server: Server | None, migration: Migration | None
) -> str:
    """Explain why a consumer should have no allocation on a host; empty if it may have one.

    :param server: the server with the consumer's UUID, on any host
    :param migration: the migration with the consumer's UUID
    """
    if server is not None:
        if server.host == host or server.status in (*_MOVING, _UNKNOWN) or server.task_state:
            return ""
        where = f"on {server.host}" if server.host else "on no host"
        return (
            f"allocated to server {server.name} ({server.id}), which is {where} "
            f"({server.status}): after an evacuation, start nova-compute on {host} again, which "
            f"deletes the allocation; otherwise see `nova-manage placement audit`"
        )
    if migration is not None:
        if not migration.ended:
            return ""
        return (
            f"allocated to a migration of server {migration.server} that has ended "
            f"({migration.status}): see `nova-manage placement audit`"
        )
    return (
        f"allocated to {consumer}, a server that no longer exists: free it with "
        "`nova-manage placement audit --delete`"
    )


def describe_migration(migration: Migration, server: Server | None) -> str:
    """Describe for which server a migration has a device allocated."""
    name = server.name if server else migration.server
    return (
        f"allocated for server {name} until its migration ({migration.status}) ends or is confirmed"
    )


def describe_surplus(server: Server, allocated: int) -> str:
    """Explain why a server has more devices of its host than it requested; empty if it has not.

    After a resize, a cold migration or an evacuation Nova can assign other devices than those
    allocated in Placement. All of them stay allocated until the server is deleted
    (``_move_claim`` in nova/compute/resource_tracker.py).
    """
    moving = server.status in _MOVING or server.task_state
    requested = None if moving else requested_devices(server.extra_specs)
    if requested is None or allocated <= requested:
        return ""
    return (
        f"server {server.name} has {allocated} devices of this host allocated and its flavor "
        f"requests {requested}: Nova assigned others when it moved the server, and frees all of "
        "them when the server is deleted"
    )


def requested_devices(extra_specs: Mapping[str, str]) -> int | None:
    """Count the PCI devices that a flavor requests; None if Nova cannot parse its aliases."""
    try:
        return sum(one.devices for one in alias_string.read(extra_specs))
    except alias_string.InvalidAliasStringError:
        return None
