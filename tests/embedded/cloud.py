# SPDX-License-Identifier: Apache-2.0
"""The embedded cloud: ``with EmbeddedCloud([hgx_host("hgx1")]) as cloud: cloud.boot(...)``.

:class:`EmbeddedCloud` starts Nova's API, conductor, scheduler, Placement and a compute manager per
host in this process. Its methods are in four files: those for the cloud and its hosts here,
actions on servers in ``servers``, queries in ``views``, and the check of allocated devices in
``consistency``. They take and return plain data; a server is the dict that Nova's API returns.

One cloud runs at a time; any number may run one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import nova.conf
from oslo_serialization import jsonutils

from nova_gpu_passthrough import conf as gpu_conf
from tests.embedded.consistency import Consistency
from tests.embedded.fleet import GpuHost, default_aliases
from tests.embedded.harness import LogCapture, LogLine, NovaHarness
from tests.embedded.servers import CloudError, Server, ServerActions
from tests.embedded.views import HeldDevice

__all__ = ["DEFAULT_FILTERS", "CloudError", "EmbeddedCloud", "HeldDevice", "LogLine", "Server"]

#: Nova's default filters and those that a cloud with GPUs adds.
DEFAULT_FILTERS = (
    "ComputeFilter",
    "ComputeCapabilitiesFilter",
    "ImagePropertiesFilter",
    "ServerGroupAntiAffinityFilter",
    "ServerGroupAffinityFilter",
    "PciPassthroughFilter",
    "NUMATopologyFilter",
)

GPU_FILTER = "nova_gpu_passthrough.scheduler.filters.GpuPassthroughFilter"
GPU_WEIGHER = "nova_gpu_passthrough.scheduler.weights.GpuPassthroughWeigher"


class EmbeddedCloud(ServerActions, Consistency):
    """Nova and Placement in one process, with hosts that report GPUs.

    :param hosts: hosts to start with
    :param gpu_scheduler: whether the scheduler loads this package's filter and weigher
    :param pci_in_placement: whether devices are resource providers, and scheduled as such
    :param aliases: ``[pci] alias`` entries (default: one per device model of ``hosts``)
    :param numa_policy: NUMA policy of the default aliases
    :param enabled_filters: the scheduler's filters (default: DEFAULT_FILTERS; with
        ``gpu_scheduler`` GpuPassthroughFilter before PciPassthroughFilter)
    :param weight_classes: the scheduler's weighers (default: Nova's; with ``gpu_scheduler`` also
        GpuPassthroughWeigher)
    :param config: further options: values by (group or None, option)
    :param max_allocation_candidates: Placement's limit
    """

    def __init__(
        self,
        hosts: Iterable[GpuHost],
        *,
        gpu_scheduler: bool = True,
        pci_in_placement: bool = True,
        aliases: Sequence[Mapping[str, str]] | None = None,
        numa_policy: str | None = None,
        enabled_filters: Sequence[str] | None = None,
        weight_classes: Sequence[str] | None = None,
        config: Mapping[tuple[str | None, str], Any] | None = None,
        max_allocation_candidates: int = 200,
    ) -> None:
        self._initial_hosts = list(hosts)
        self.hosts: dict[str, GpuHost] = {}
        self.pci_in_placement = pci_in_placement
        self._max_allocation_candidates = max_allocation_candidates
        filters = ["nova.scheduler.filters.all_filters"]
        weighers = ["nova.scheduler.weights.all_weighers"]
        enabled = list(DEFAULT_FILTERS)
        if gpu_scheduler:
            filters.append(GPU_FILTER)
            weighers.append(GPU_WEIGHER)
            enabled.insert(enabled.index("PciPassthroughFilter"), GPU_FILTER.rpartition(".")[2])
        if aliases is None:
            aliases = default_aliases(self._initial_hosts, numa_policy)
        self._config: dict[tuple[str | None, str], Any] = {
            ("filter_scheduler", "available_filters"): filters,
            ("filter_scheduler", "enabled_filters"): list(enabled_filters or enabled),
            ("filter_scheduler", "weight_classes"): list(weight_classes or weighers),
            ("filter_scheduler", "pci_in_placement"): pci_in_placement,
            ("pci", "report_in_placement"): pci_in_placement,
            ("pci", "alias"): [jsonutils.dumps(alias) for alias in aliases],
            ("quota", "instances"): -1,
            ("quota", "cores"): -1,
            ("quota", "ram"): -1,
            (None, "shelved_offload_time"): -1,
            **self._cpu_sets(),
            **(config or {}),
        }

    def _cpu_sets(self) -> dict[tuple[str | None, str], Any]:
        """Return the options for shared and dedicated CPUs, which are the same for all hosts."""
        layouts = {
            (tuple(sorted(host.cpu_set(False))), tuple(sorted(host.cpu_set(True))))
            for host in self._initial_hosts
        }
        if not layouts:
            return {}
        if len(layouts) > 1:
            raise ValueError("all hosts must have the same layout of shared and dedicated CPUs")
        shared, dedicated = (",".join(map(str, cpus)) for cpus in layouts.pop())
        return {
            ("compute", "cpu_shared_set"): shared or None,
            ("compute", "cpu_dedicated_set"): dedicated or None,
        }

    def start(self) -> EmbeddedCloud:
        """Start all services."""
        # The options must be registered before they are set; the filter is loaded later.
        gpu_conf.register_opts(nova.conf.CONF)
        self.log = LogCapture()
        self.nova = NovaHarness(
            self._config,
            {
                ("placement", "allocation_candidates_generation_strategy"): "breadth-first",
                # Placement compares candidates of the same devices pairwise: the 40,320 orders of
                # 8 GPUs would take hours.
                ("placement", "max_allocation_candidates"): self._max_allocation_candidates,
                ("workarounds", "optimize_for_wide_provider_trees"): True,
            },
            self.log,
        )
        self.nova.up()
        try:
            for host in self._initial_hosts:
                self.add_host(host)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop all services and forget the hosts."""
        self.nova.down()
        self.hosts.clear()

    def __enter__(self) -> EmbeddedCloud:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def add_host(self, host: GpuHost) -> None:
        """Start the compute service of one more host."""
        self.nova.start_host(host)
        self.hosts[host.name] = host

    def fail_host(self, name: str) -> None:
        """Stop a host's compute service and mark it down, so that its servers can be evacuated."""
        self.nova.computes[name].stop()
        self.nova.api.put_service_force_down(self._service_id(name), True)

    def recover_host(self, name: str) -> None:
        """Bring a failed host back; its compute cleans up what was evacuated from it."""
        self.nova.restart_host(self.hosts[name])
        self.nova.api.put_service_force_down(self._service_id(name), False)

    def _service_id(self, name: str) -> str:
        return self.nova.api.get_services(binary="nova-compute", host=name)[0]["id"]

    def run_periodic_tasks(self) -> None:
        """Run every compute's resource update."""
        self.nova._run_periodics()

    def create_aggregate(
        self, name: str, hosts: Iterable[str], metadata: Mapping[str, str] | None = None
    ) -> int:
        """Create a host aggregate.

        :returns: its id
        """
        aggregate = self.nova.api.post_aggregate({"aggregate": {"name": name}})["id"]
        for host in hosts:
            self.nova.api.add_host_to_aggregate(aggregate, host)
        if metadata:
            self.nova.api.post_aggregate_action(
                aggregate, {"set_metadata": {"metadata": dict(metadata)}}
            )
        return aggregate
