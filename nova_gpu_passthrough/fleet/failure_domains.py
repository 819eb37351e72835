# SPDX-License-Identifier: Apache-2.0
"""The failure domains of hosts: racks and any other levels that the fleet file names.

A domain is identified by its level and its name: hosts with the same rack fail together when that
rack does. Levels are independent of each other, because a power feed can serve parts of several
racks; only a rack stands in one room.
"""

import fnmatch
from collections.abc import Collection, Iterable, Mapping

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.model import RACK, FleetFile
from nova_gpu_passthrough.fleet.store import location

#: The level whose domains contain whole racks, if the fleet file has it.
ROOM = "room"


def by_host(file: FleetFile, hosts: Collection[str]) -> dict[str, dict[str, str]]:
    """Return the names of failure domains by level, by host; only of hosts that have any.

    Several rules can describe one host: each sets other levels, or the same names.

    :param hosts: the hosts of the fleet
    :raises UserError: with file, line and key, for a name that no host has, and for a host or a
        rack in two places
    """
    found: dict[str, dict[str, str]] = {}
    origins: dict[tuple[str, str], int] = {}
    for number, rule in enumerate(file.hosts):
        for index, pattern in enumerate(rule.names):
            matching = fnmatch.filter(hosts, pattern)
            if not matching:
                where = location(file, "hosts", number, "names", index)
                known = ", ".join(sorted(hosts)[:5])
                more = ", ..." if len(hosts) > 5 else ""
                raise UserError(
                    f"{where}: no host of the groups is called {pattern}, expected names of hosts "
                    f"or patterns of them: {known}{more}"
                )
            for host in matching:
                domains = found.setdefault(host, {})
                for level, name in rule.all_domains.items():
                    first = origins.setdefault((host, level), number)
                    if domains.setdefault(level, name) != name:
                        raise UserError(
                            f"{location(file, *_keys(number, level))}: host {host} is in {level} "
                            f"{name} here and in {level} {domains[level]} by hosts[{first}]"
                        )
    _check_rooms(file, found, origins)
    return dict(sorted(found.items()))


def levels(domains: Iterable[Mapping[str, str]]) -> list[str]:
    """Return the levels that hosts have, racks first."""
    found = {level for of_host in domains for level in of_host}
    return sorted(found, key=lambda level: (level != RACK, level))


def _check_rooms(
    file: FleetFile,
    found: Mapping[str, Mapping[str, str]],
    origins: Mapping[tuple[str, str], int],
) -> None:
    """Check that no rack is in two rooms: two racks of the same name would count as one."""
    rooms: dict[str, tuple[str, str]] = {}
    for host, domains in found.items():
        if RACK not in domains or ROOM not in domains:
            continue
        rack, room = domains[RACK], domains[ROOM]
        first, other = rooms.setdefault(rack, (host, room))
        if other != room:
            raise UserError(
                f"{location(file, *_keys(origins[host, RACK], RACK))}: rack {rack} is in room "
                f"{other} with host {first} and in room {room} with host {host}; give each rack a "
                f"unique name, such as {room}-{rack}"
            )


def _keys(number: int, level: str) -> tuple[str | int, ...]:
    return ("hosts", number, level) if level == RACK else ("hosts", number, "domains", level)
