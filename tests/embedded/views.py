# SPDX-License-Identifier: Apache-2.0
"""Queries of the embedded cloud: devices, pools, providers, allocations and the log."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any

from tests.embedded.fleet import GPU, GpuDevice, GpuHost

if TYPE_CHECKING:
    from tests.embedded.harness import LogCapture, LogLine, NovaHarness


@dataclasses.dataclass(frozen=True)
class HeldDevice:
    """A device that Nova has claimed for or allocated to a server.

    :param status: ``claimed`` or ``allocated``
    :param device: its description in the fleet
    """

    host: str
    address: str
    server_id: str
    status: str
    device: GpuDevice


class Views:
    """Mixin with the queries, which change nothing."""

    nova: NovaHarness
    log: LogCapture
    hosts: dict[str, GpuHost]
    pci_in_placement: bool

    def host_of(self, server: dict[str, Any]) -> str | None:
        """Return the current host of a server."""
        return self.nova.api.get_server(server["id"])["OS-EXT-SRV-ATTR:host"]

    def devices_of(self, server: dict[str, Any]) -> list[HeldDevice]:
        """Return the devices of a server, sorted by host and address, from Nova's database.

        A server that waits for the confirmation of a move holds devices on both hosts.
        """
        return [held for held in self.held_devices() if held.server_id == server["id"]]

    def held_devices(self) -> list[HeldDevice]:
        """Return all devices that servers hold, from Nova's database."""
        return sorted(
            (
                HeldDevice(
                    host, row.address, row.instance_uuid, row.status, self._device(host, row)
                )
                for host, row in self._pci_devices()
                if row.status in ("claimed", "allocated")
            ),
            key=lambda held: (held.host, held.address),
        )

    def free_gpus(self, host: str) -> list[GpuDevice]:
        """Return the GPUs of a host that no server holds, sorted by address."""
        free = [
            self._device(name, row)
            for name, row in self._pci_devices()
            if name == host and row.status == "available"
        ]
        return sorted((gpu for gpu in free if gpu.role == GPU), key=lambda gpu: gpu.address)

    def _device(self, host: str, row: Any) -> GpuDevice:
        return next(d for d in self.hosts[host].devices if d.address == row.address)

    def _pci_devices(self) -> list[tuple[str, Any]]:
        """Return Nova's PciDevice objects with the names of their hosts."""
        from nova import objects

        return [
            (node.host, device)
            for node in objects.ComputeNodeList.get_all(self.nova.admin_context)
            for device in objects.PciDeviceList.get_by_compute_node(
                self.nova.admin_context, node.id
            )
        ]

    def guest_numa_nodes(self, server: dict[str, Any]) -> list[int]:
        """Return the host NUMA nodes of a server's memory; empty without a guest NUMA topology."""
        from nova import exception, objects

        try:
            topology = objects.InstanceNUMATopology.get_by_instance_uuid(
                self.nova.admin_context, server["id"]
            )
        except exception.NumaTopologyNotFound:
            return []
        return sorted({cell.id for cell in topology.cells}) if topology else []

    def scheduler_pools(self) -> dict[str, list[dict[str, Any]]]:
        """Return the PCI pools by host, as the filters of the scheduler get them."""
        manager = self.nova.scheduler.manager.host_manager
        states = manager.get_host_states_by_uuids(self.nova.admin_context, None, None)
        return {state.host: [dict(pool) for pool in state.pci_stats.pools] for state in states}

    def providers(self) -> dict[str, str]:
        """Return the names of Placement's resource providers by UUID."""
        found = self.nova.placement.get("/resource_providers").body["resource_providers"]
        return {provider["uuid"]: provider["name"] for provider in found}

    def placement_allocations(self, server: dict[str, Any]) -> dict[str, dict[str, int]]:
        """Return a server's allocations in Placement: amounts by provider name and class."""
        names = self.providers()
        found = self.nova.placement.get(f"/allocations/{server['id']}").body["allocations"]
        return {names[rp]: dict(held["resources"]) for rp, held in sorted(found.items())}

    def log_lines(
        self, level: str = "INFO", containing: str = "", logger: str = ""
    ) -> list[LogLine]:
        """Return log lines of at least a level (DEBUG: only those of the scheduler).

        :param containing: part of the message
        :param logger: beginning of the logger's name
        """
        least = logging.getLevelName(level)
        return [
            line
            for line in list(self.log.lines)
            if logging.getLevelName(line.level) >= least
            and containing in line.message
            and line.logger.startswith(logger)
        ]
