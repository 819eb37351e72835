# SPDX-License-Identifier: Apache-2.0
"""Keep servers without GPUs from using up GPU hosts."""

from collections.abc import Iterable, Mapping, Sequence
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
        #: ``vendor:product`` of GPUs that only an option identifies.
        self._configured_ids: set[str] = set()

    def add_gpus(self, host: str, gpus: Iterable[FreeGpu]) -> None:
        """Record the GPUs that a host offered to a GPU request."""
        models = {gpu.model for gpu in gpus}
        if models:
            self._gpu_hosts.add(host)
            self._configured_ids.update(model for model in models if ":" in model)

    def refusal_reason(
        self, host_state: "HostState", spec_obj: "objects.RequestSpec"
    ) -> str | None:
        """Return why the host is refused for a server without GPUs; None if it passes."""
        aggregates = host_state.aggregates
        if not self._set_by_option and not aggregates:
            return None
        metadata = [aggregate.metadata for aggregate in aggregates]
        only = self._only_gpu_servers(host_state, metadata)
        by_aggregate = only is not None
        if only is None:
            only = self._only_option
        vcpus = self._reserved(host_state, metadata, _VCPUS, self._vcpus)
        pcpus = self._reserved(host_state, metadata, _PCPUS, self._pcpus)
        ram = self._reserved(host_state, metadata, _RAM, self._ram)
        if not (only or vcpus or pcpus or ram):
            return None
        free = self._free_gpus(host_state)
        if free:
            self._gpu_hosts.add(host_state.host)
        if only and (by_aggregate or host_state.host in self._gpu_hosts):
            return "it is reserved for servers with GPUs"
        if not free:
            return None
        return _shortage(host_state, spec_obj, free * vcpus, free * pcpus, free * ram)

    def _free_gpus(self, host_state: "HostState") -> int:
        """Count the known free GPUs of the host; malformed pools are ignored."""
        return sum(
            count for _, count in pools.known_gpus(host_state.pci_stats, self._configured_ids)
        )

    def _only_gpu_servers(
        self, host_state: "HostState", metadata: Sequence[Mapping[str, Any]]
    ) -> bool | None:
        only: bool | None = None
        for value in _values(metadata, _ONLY):
            try:
                only = bool(only) or strutils.bool_from_string(value, strict=True)
            except ValueError:
                self._warn(host_state, _ONLY, value, "true or false")
        return only

    def _reserved(
        self,
        host_state: "HostState",
        metadata: Sequence[Mapping[str, Any]],
        key: str,
        default: int,
    ) -> int:
        if not metadata:
            return default
        amounts = []
        for value in _values(metadata, key):
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


def _values(metadata: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    return [one[key] for one in metadata if key in one]


def _shortage(
    host_state: "HostState", spec_obj: "objects.RequestSpec", vcpus: int, pcpus: int, ram_mib: int
) -> str | None:
    """Return which reserved amount the server would use; CPUs count against CPUs of their kind."""
    guest = spec_obj.numa_topology
    pinned = sum(len(cell.pcpuset) for cell in guest.cells) if guest else 0
    shared = spec_obj.vcpus - pinned
    if vcpus and shared:
        total = int(host_state.vcpus_total * (host_state.cpu_allocation_ratio or 1.0))
        left = total - host_state.vcpus_used - shared
        if left < vcpus:
            left += dedicated_cpus_used(_cells(host_state))
        if left < vcpus:
            return f"{left} shared vCPUs would be left, {vcpus} are reserved for its free GPUs"
    if pcpus and pinned:
        left = sum(cell.avail_pcpus for cell in _cells(host_state)) - pinned
        if left < pcpus:
            return f"{left} dedicated CPUs would be left, {pcpus} are reserved for its free GPUs"
    ram_left = host_state.free_ram_mb - spec_obj.memory_mb
    if ram_mib and ram_left < ram_mib:
        return f"{ram_left} MiB of RAM would be left, {ram_mib} are reserved for its free GPUs"
    return None


def _cells(host_state: "HostState") -> "Sequence[objects.NUMACell]":
    topology = host_state.numa_topology
    return topology.cells if topology else ()
