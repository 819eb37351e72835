# SPDX-License-Identifier: Apache-2.0
"""Check that Nova, Placement and libvirt agree on the servers that hold devices."""

from __future__ import annotations

from collections.abc import Iterable

from nova import objects

from tests.embedded.views import Views

#: A device held by a server: (host, address, server id).
Holding = tuple[str, str, str]


class Consistency(Views):
    """Mixin with the check."""

    def check_consistency(self, tolerate_moves: bool = False) -> None:
        """Check that every device is held by one existing server, the same in every view.

        :param tolerate_moves: accept the allocations that Nova leaves in Placement when it moves a
            server (resize, cold migration, evacuation): the destination's compute does not know
            the devices chosen in Placement, and allocates its own choice in addition
        :raises AssertionError: with every inconsistent device, its server and the view
        """
        problems = list(self._problems(tolerate_moves))
        assert not problems, "inconsistent devices:\n  " + "\n  ".join(problems)

    def _problems(self, tolerate_moves: bool) -> Iterable[str]:
        context = self.nova.admin_context
        servers = {
            instance.uuid: instance
            for instance in objects.InstanceList.get_by_filters(context, {"deleted": False})
        }
        nova = {(device.host, device.address, device.server_id) for device in self.held_devices()}
        libvirt = self._in_libvirt()
        views = {"Nova": nova, "libvirt": libvirt}
        # A defined guest must have the devices that Nova allocated. During a move and after a
        # failure, Nova also holds devices on a host where the guest is not defined.
        defined = {(host, server) for host, _, server in libvirt} | {
            (server.host, server.uuid) for server in servers.values() if server.vm_state == "active"
        }
        missing = {holding for holding in nova - libvirt if (holding[0], holding[2]) in defined}
        yield from self._describe(missing, "according to Nova, but not in the guest's definition")
        yield from self._describe(
            libvirt - nova, "in the guest's definition, but not according to Nova"
        )
        if self.pci_in_placement:
            migrations = list(objects.MigrationList.get_by_filters(context, {}))
            views["Placement"] = placement = self._in_placement(
                {migration.uuid: migration.instance_uuid for migration in migrations}
            )
            extra = placement - nova
            if tolerate_moves:
                moved = {(move.dest_compute, move.instance_uuid) for move in migrations}
                moved &= {(host, server) for host, _, server in nova}
                extra = {holding for holding in extra if (holding[0], holding[2]) not in moved}
            yield from self._describe(nova - placement, "according to Nova, but not in Placement")
            yield from self._describe(extra, "in Placement, but not according to Nova")
        for view, holdings in views.items():
            orphaned = {holding for holding in holdings if holding[2] not in servers}
            yield from self._describe(orphaned, f"but does not exist ({view})")
            servers_by_device: dict[tuple[str, str], list[str]] = {}
            for host, address, server in sorted(holdings):
                servers_by_device.setdefault((host, address), []).append(server)
            for (host, address), server_ids in servers_by_device.items():
                if len(server_ids) > 1:
                    yield (
                        f"{address} of {host} is held by {len(server_ids)} servers in {view}: "
                        + ", ".join(server_ids)
                    )

    @staticmethod
    def _describe(holdings: Iterable[Holding], what: str) -> Iterable[str]:
        for host, address, server in sorted(holdings):
            yield f"server {server} holds {address} of {host} {what}"

    def _in_libvirt(self) -> set[Holding]:
        return {
            (
                name,
                "{:04x}:{:02x}:{:02x}.{:x}".format(
                    *(int(hostdev[part], 16) for part in ("domain", "bus", "slot", "function"))
                ),
                domain.UUIDString(),
            )
            for name, compute in self.nova.computes.items()
            for domain in compute.driver._host.get_connection()._vms.values()
            for hostdev in domain._def["devices"]["hostdevs"]
            if hostdev["type"] == "pci"
        }

    def _in_placement(self, server_by_migration: dict[str, str]) -> set[Holding]:
        """Holdings by allocation; a migration's allocations count for its server."""
        devices = {
            f"{host.name}_{device.address}".lower(): (host.name, device.address)
            for host in self.hosts.values()
            for device in host.devices
        }
        return {
            (*devices[name.lower()], server_by_migration.get(consumer, consumer))
            for provider, name in self.providers().items()
            if name.lower() in devices  # Nova writes the addresses of providers in capitals
            for consumer in self.nova.placement.get(
                f"/resource_providers/{provider}/allocations"
            ).body["allocations"]
        }
