# SPDX-License-Identifier: Apache-2.0
"""Keep servers without GPUs from using up GPU hosts."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from oslo_config import cfg
from oslo_utils import strutils

from nova_gpu_passthrough import conf as gpu_conf
from nova_gpu_passthrough.scheduler import pools
from nova_gpu_passthrough.scheduler.host_snapshot import dedicated_cpus_used
from nova_gpu_passthrough.scheduler.refusal_log import HostWarnings
from nova_gpu_passthrough.topology.model import FreeGpu

if TYPE_CHECKING:
    from nova import objects
    from nova.scheduler.host_manager import HostState

_ONLY = gpu_conf.AGGREGATE_PREFIX + "only_gpu_servers"
_VCPUS = gpu_conf.AGGREGATE_PREFIX + "reserved_vcpus_per_gpu"
_PCPUS = gpu_conf.AGGREGATE_PREFIX + "reserved_pcpus_per_gpu"
_RAM = gpu_conf.AGGREGATE_PREFIX + "reserved_ram_mib_per_gpu"


class Protection:
    """The operator's rules for GPU hosts, from options and metadata of host aggregates."""

    def __init__(self, section: cfg.ConfigOpts, warnings: HostWarnings) -> None:
        self._only_option: bool = section.only_gpu_servers
        self._vcpus: int = section.reserved_vcpus_per_gpu
        self._pcpus: int = section.reserved_pcpus_per_gpu
        self._ram: int = section.reserved_ram_mib_per_gpu
        self._set_by_option = bool(self._only_option or self._vcpus or self._pcpus or self._ram)
        self._warnings = warnings
        #: Hosts that had free GPUs at some time: once all are in use, the pools do not show them.
        self._gpu_hosts: set[str] = set()
        #: ``vendor:product`` of GPUs that only options identify.
        self._configured_ids: set[str] = set()

    def add_gpus(self, host: str, gpus: Iterable[FreeGpu]) -> None:
        """Record the GPUs that a host offered to a GPU request."""
        for gpu in gpus:
            self._gpu_hosts.add(host)
            if ":" in gpu.model:
                self._configured_ids.add(gpu.model)

    def refusal_reason(
        self, host_state: "HostState", spec_obj: "objects.RequestSpec"
    ) -> str | None:
        """Return why the host is refused for a server without GPUs; None if it passes."""
        aggregates = host_state.aggregates
        if not self._set_by_option and not aggregates:
            return None
        only = self._only_gpu_servers(host_state)
        by_aggregate = only is not None
        if only is None:
            only = self._only_option
        vcpus = self._reserved(host_state, _VCPUS, self._vcpus)
        pcpus = self._reserved(host_state, _PCPUS, self._pcpus)
        ram = self._reserved(host_state, _RAM, self._ram)
        if not (only or vcpus or pcpus or ram):
            return None
        free = self._free_gpus(host_state)
        if free:
            self._gpu_hosts.add(host_state.host)
        if only and (by_aggregate or host_state.host in self._gpu_hosts):
            return "it is reserved for servers with GPUs"
        return _shortage(host_state, spec_obj, free * vcpus, free * pcpus, free * ram)

    def _free_gpus(self, host_state: "HostState") -> int:
        """Count the known free GPUs of the host; malformed pools are ignored."""
        return sum(
            count for _, count in pools.known_gpus(host_state.pci_stats, self._configured_ids)
        )

    def _only_gpu_servers(self, host_state: "HostState") -> bool | None:
        only: bool | None = None
        for value in _metadata(host_state, _ONLY):
            try:
                only = bool(only) or strutils.bool_from_string(value, strict=True)
            except ValueError:
                self._warn(host_state, _ONLY, value, "true or false")
        return only

    def _reserved(self, host_state: "HostState", key: str, default: int) -> int:
        amounts = []
        for value in _metadata(host_state, key):
            if str(value).isdecimal():
                amounts.append(int(value))
            else:
                self._warn(host_state, key, value, "a whole number of 0 or more")
        return max(amounts, default=default)

    def _warn(self, host_state: "HostState", key: str, value: Any, expected: str) -> None:
        self._warnings.warn(
            host_state.host,
            f"aggregate metadata {key} is {value!r}, expected {expected}",
            "it is ignored",
        )


def _metadata(host_state: "HostState", key: str) -> list[Any]:
    return [a.metadata[key] for a in host_state.aggregates if key in a.metadata]


def _shortage(
    host_state: "HostState", spec_obj: "objects.RequestSpec", vcpus: int, pcpus: int, ram_mib: int
) -> str | None:
    """Return which reserved amount the server would use; CPUs count against CPUs of their kind."""
    host, guest = host_state.numa_topology, spec_obj.numa_topology
    cells = host.cells if host else []
    pinned = sum(len(cell.pcpuset) for cell in guest.cells) if guest else 0
    shared = spec_obj.vcpus - pinned
    ratio = host_state.cpu_allocation_ratio or 1.0
    vcpus_used = host_state.vcpus_used - dedicated_cpus_used(cells)
    vcpus_left = int(host_state.vcpus_total * ratio) - vcpus_used - shared
    if vcpus and shared and vcpus_left < vcpus:
        return f"{vcpus_left} shared vCPUs would be left, {vcpus} are reserved for its free GPUs"
    pcpus_left = sum(cell.avail_pcpus for cell in cells) - pinned
    if pcpus and pinned and pcpus_left < pcpus:
        return f"{pcpus_left} dedicated CPUs would be left, {pcpus} are reserved for its free GPUs"
    ram_left = host_state.free_ram_mb - spec_obj.memory_mb
    if ram_mib and ram_left < ram_mib:
        return f"{ram_left} MiB of RAM would be left, {ram_mib} are reserved for its free GPUs"
    return None
