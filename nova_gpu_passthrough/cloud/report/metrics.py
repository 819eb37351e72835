# SPDX-License-Identifier: Apache-2.0
"""Convert a snapshot to Prometheus metrics.

Names and units follow https://prometheus.io/docs/practices/naming/: base units, no unit in labels,
``_total`` for counters only. Labels contain no names of servers or projects, so that the number of
time series depends only on hosts, NUMA nodes, models and flavors; with devices also on GPUs.
"""

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from nova_gpu_passthrough.cloud.report import gpu_counts, tables, usage
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.view import device_counts
from nova_gpu_passthrough.cloud.view.model import CloudHost, DeviceState
from nova_gpu_passthrough.topology.tags import LINK_SEPARATOR

_MIB = 2**20
_GIB = 2**30
#: Resource classes of a host: name in metrics, suffix of the unit, and factor to that unit.
_RESOURCES = {
    "VCPU": ("vcpus", "", 1),
    "PCPU": ("pcpus", "", 1),
    "MEMORY_MB": ("memory", "_bytes", _MIB),
    "DISK_GB": ("disk", "_bytes", _GIB),
}

_Row = tuple[Sequence[str], float]


def families(snapshot: Snapshot, devices: bool = True) -> Iterator[Metric]:
    """Yield all metrics of a snapshot.

    :param devices: whether each GPU gets a time series of its own
    """
    yield from _gpus(snapshot)
    if devices:
        yield _devices(snapshot)
    yield from _flavors(snapshot)
    yield from _hosts(snapshot.view.hosts)
    yield from _resources(snapshot.view.hosts)
    yield from _numa_nodes(snapshot.view.hosts)
    yield _gauge(
        "nova_gpu_servers",
        "Servers that have GPUs, by status in Nova",
        ("status",),
        _count_labels((row.server.status,) for row in tables.servers(snapshot)),
    )
    yield _gauge(
        "nova_gpu_waiting_servers",
        "Servers that request PCI devices and are on no host, by status in Nova",
        ("status",),
        _count_labels((row.server.status,) for row in tables.waiting(snapshot)),
    )
    yield _gauge(
        "nova_gpu_notes",
        "Uncertainties about these numbers; nova-gpu report lists them",
        (),
        [((), len(tables.notes(snapshot)))],
    )
    taken_at = datetime.datetime.fromisoformat(snapshot.view.taken_at)
    yield _gauge(
        "nova_gpu_read_timestamp_seconds",
        "Time when these numbers were read from the cloud",
        (),
        [((), taken_at.timestamp())],
    )


def _gpus(snapshot: Snapshot) -> Iterator[Metric]:
    totals: Counter[tuple[str, ...]] = Counter()
    for host in snapshot.view.hosts:
        for gpu in host.gpus:
            counts = device_counts.units_by_state(gpu)
            for state in DeviceState:
                totals[host.name, gpu.model or "", _node(gpu.numa_node), str(state)] += counts[
                    state
                ]
    yield _gauge(
        "nova_gpu_devices",
        "GPUs (VFs are counted one by one) by state: free, in use, reserved, stuck or missing",
        ("host", "model", "numa_node", "state"),
        totals.items(),
    )
    yield _gauge(
        "nova_gpu_usable_devices",
        "Free GPUs that a server could have now: on hosts that take servers, and not stranded",
        ("host", "model"),
        (
            ((host.name, model), counts.usable)
            for host in snapshot.view.hosts
            for model, counts in gpu_counts.by_model(snapshot, [host]).items()
        ),
    )
    yield _gauge(
        "nova_gpu_stranded_devices",
        "Free GPUs that no server of any flavor can use now, by the constraint that fails",
        ("host", "model", "cause"),
        _count_labels(
            (gpu.host, gpu.model, str(gpu.constraint)) for gpu in snapshot.capacity.stranded
        ),
    )


def _devices(snapshot: Snapshot) -> Metric:
    return _gauge(
        "nova_gpu_device_state",
        "1 for the current state of a GPU (or of the VFs of one)",
        ("host", "address", "model", "numa_node", "link_group", "state"),
        (
            (
                (
                    gpu.host,
                    gpu.address,
                    gpu.model or "",
                    _node(gpu.numa_node),
                    LINK_SEPARATOR.join(gpu.link_group),
                    str(gpu.state),
                ),
                1,
            )
            for host in snapshot.view.hosts
            for gpu in host.gpus
        ),
    )


def _flavors(snapshot: Snapshot) -> Iterator[Metric]:
    flavors = snapshot.capacity.flavors
    yield _gauge(
        "nova_gpu_flavor_gpus",
        "GPUs of one server of the flavor; model is empty if it requests several models",
        ("flavor", "model"),
        (((each.flavor, each.model or ""), each.gpus) for each in flavors),
    )
    yield _gauge(
        "nova_gpu_flavor_servers_possible",
        "Further servers of the flavor that fit now, if no others are created",
        ("flavor",),
        (((each.flavor,), each.servers) for each in flavors),
    )
    yield _gauge(
        "nova_gpu_flavor_hosts_possible",
        "Hosts that take at least one more server of the flavor",
        ("flavor",),
        (((each.flavor,), each.hosts) for each in flavors),
    )
    yield _gauge(
        "nova_gpu_flavor_exact",
        "Whether everything that the flavor requests is modelled, so that its numbers are exact",
        ("flavor",),
        (((each.flavor,), each.exact) for each in flavors),
    )
    yield _gauge(
        "nova_gpu_flavor_refusing_hosts",
        "Hosts with such GPUs, by the constraint that refuses the next server",
        ("flavor", "cause"),
        _count_labels(
            (each.flavor, str(refusal.constraint))
            for each in flavors
            for refusal in tables.refusals(each).values()
        ),
    )


def _hosts(hosts: Sequence[CloudHost]) -> Iterator[Metric]:
    yield _gauge(
        "nova_gpu_host_info",
        "Host group in the fleet file and availability zone of a GPU host",
        ("host", "group", "availability_zone"),
        (((h.name, h.group or "", h.availability_zone or ""), 1) for h in hosts),
    )
    yield _gauge(
        "nova_gpu_host_domain_info",
        "Failure domains of a GPU host by level, such as rack, in the fleet file",
        ("host", "level", "domain"),
        (((h.name, *domain), 1) for h in hosts for domain in sorted(h.domains.items())),
    )
    yield _gauge(
        "nova_gpu_host_up",
        "Whether the host's nova-compute is up",
        ("host",),
        (((host.name,), host.up) for host in hosts),
    )
    yield _gauge(
        "nova_gpu_host_enabled",
        "Whether the host's nova-compute is enabled",
        ("host",),
        (((host.name,), host.enabled) for host in hosts),
    )
    yield _gauge(
        "nova_gpu_host_gpu_servers",
        "Servers (or migrations) to which GPUs of the host are allocated",
        ("host",),
        (
            ((host.name,), len({key for gpu in host.gpus for key in gpu.consumers}))
            for host in hosts
        ),
    )


def _resources(hosts: Sequence[CloudHost]) -> Iterator[Metric]:
    for name, (metric, suffix, unit) in _RESOURCES.items():
        resources = [(host.name, host.resources[name]) for host in hosts if name in host.resources]
        yield _gauge(
            f"nova_gpu_host_{metric}_capacity{suffix}",
            f"{name} of the host for all servers, including overcommitment",
            ("host",),
            (((host,), resource.capacity * unit) for host, resource in resources),
        )
        yield _gauge(
            f"nova_gpu_host_{metric}_free{suffix}",
            f"{name} of the host that are not allocated",
            ("host",),
            (((host,), resource.free * unit) for host, resource in resources),
        )


def _numa_nodes(hosts: Sequence[CloudHost]) -> Iterator[Metric]:
    nodes = [(host.name, usage.numa_usage(cell)) for host in hosts for cell in host.numa]

    def gauge(name: str, text: str, numbers: Iterable[int]) -> Metric:
        labels = [(host, str(node.id)) for host, node in nodes]
        rows = zip(labels, numbers, strict=True)
        return _gauge(f"nova_gpu_numa_node_{name}", text, ("host", "numa_node"), rows)

    yield gauge(
        "pinned_cpus_capacity",
        "CPUs of the NUMA node for pinning",
        (node.pinned_total for _, node in nodes),
    )
    yield gauge(
        "pinned_cpus_free",
        "CPUs of the NUMA node for pinning that are not pinned",
        (node.pinned_free for _, node in nodes),
    )
    yield gauge(
        "memory_capacity_bytes",
        "Memory of the NUMA node for servers",
        (node.memory_total_mib * _MIB for _, node in nodes),
    )
    yield gauge(
        "memory_free_bytes",
        "Memory of the NUMA node that no server with NUMA cells uses",
        (node.memory_free_mib * _MIB for _, node in nodes),
    )


def _node(node: int | None) -> str:
    return "" if node is None else str(node)


def _count_labels(labels: Iterable[tuple[str, ...]]) -> Iterable[_Row]:
    return Counter(labels).items()


def _gauge(name: str, text: str, labels: Sequence[str], rows: Iterable[_Row]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in rows:
        # JSON, and so a name, can contain lone surrogates of UTF-16, which UTF-8 cannot encode.
        family.add_metric([value.encode("utf-8", "replace").decode() for value in values], number)
    return family
