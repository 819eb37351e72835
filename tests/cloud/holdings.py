# SPDX-License-Identifier: Apache-2.0
"""Which server has which GPU, according to the databases of Nova and Placement."""

from __future__ import annotations

from typing import NamedTuple

from tests.cloud.control_plane import ControlPlane

_NOVA = """
SELECT nodes.hypervisor_hostname, devices.address, devices.instance_uuid
FROM pci_devices AS devices JOIN compute_nodes AS nodes ON nodes.id = devices.compute_node_id
WHERE devices.deleted = 0 AND devices.instance_uuid IS NOT NULL
"""
_PLACEMENT = """
SELECT providers.name, allocations.consumer_id
FROM allocations JOIN resource_providers AS providers
ON providers.id = allocations.resource_provider_id
WHERE providers.parent_provider_id IS NOT NULL
"""


class Holding(NamedTuple):
    """A device of a server."""

    host: str
    address: str
    server: str


def nova(plane: ControlPlane) -> list[Holding]:
    with plane.database("nova") as cursor:
        cursor.execute(_NOVA)
        return sorted(Holding(*row) for row in cursor.fetchall())


def placement(plane: ControlPlane) -> list[Holding]:
    with plane.database("placement") as cursor:
        cursor.execute(_PLACEMENT)
        rows = cursor.fetchall()
    found = []
    for name, server in rows:
        host, _, address = name.partition("_")
        found.append(Holding(host, address.lower(), server))
    return sorted(found)


def check(plane: ControlPlane, servers: set[str]) -> None:
    """Check that Nova and Placement agree, and that each device has one server, one of these."""
    allocated = nova(plane)
    assert allocated == placement(plane)
    assert {holding.server for holding in allocated} == servers
    devices = [(holding.host, holding.address) for holding in allocated]
    assert len(set(devices)) == len(devices)
