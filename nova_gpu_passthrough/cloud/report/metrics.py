# SPDX-License-Identifier: Apache-2.0
"""A snapshot as Prometheus' metrics.

Names and units follow https://prometheus.io/docs/practices/naming/: base units, no unit in labels,
``_total`` for counters only. Labels hold no names of servers or projects, so that the number of
time series is bound by hosts, NUMA nodes, models and flavors; with devices also by GPUs.
"""

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from nova_gpu_passthrough.cloud.report import tables, units
from nova_gpu_passthrough.cloud.report.page import node
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.view.model import DeviceState, Host
from nova_gpu_passthrough.topology.tags import LINK_SEPARATOR

_MIB = 2**20
_GIB = 2**30
#: Resource classes of a host: the name in metrics, the unit's suffix, and bytes of Nova's unit.
_RESOURCES = {
    "VCPU": ("vcpus", "", 1),
    "PCPU": ("pcpus", "", 1),
    "MEMORY_MB": ("memory", "_bytes", _MIB),
    "DISK_GB": ("disk", "_bytes", _GIB),
}

_Row = tuple[Sequence[str], float]


def families(snapshot: Snapshot, devices: bool = True) -> Iterator[Metric]:
    """All metrics of a snapshot.

    :param devices: whether each GPU has a series of its own
    """
    yield from _gpus(snapshot)
    if devices:
        yield _devices(snapshot)
    yield from _flavors(snapshot)
    yield from _hosts(snapshot.view.hosts)
    yield from _resources(snapshot.view.hosts)
    yield from _numa_nodes(snapshot.view.hosts)
    yield _gauge(
        "nova_gpu_waiting_servers",
        "Servers that ask for PCI devices and are on no host, by status in Nova",
        ("status",),
        _counted((row.server.status,) for row in tables.waiting(snapshot)),
    )
    yield _gauge(
        "nova_gpu_notes",
        "What is not sure of these numbers; nova-gpu report tells what",
        (),
        [((), len(tables.notes(snapshot)))],
    )
    taken_at = datetime.datetime.fromisoformat(snapshot.view.taken_at)
    yield _gauge(
        "nova_gpu_read_timestamp_seconds",
        "When these numbers were read from the cloud",
        (),
        [((), taken_at.timestamp())],
    )


def _gpus(snapshot: Snapshot) -> Iterator[Metric]:
    found: Counter[tuple[str, ...]] = Counter()
    for host in snapshot.view.hosts:
        for gpu in host.gpus:
            counts = units.by_state(gpu)
            for state in DeviceState:
                found[host.name, gpu.model or "", _node(gpu.numa_node), str(state)] += counts[state]
    yield _gauge(
        "nova_gpu_devices",
        "GPUs (VFs one by one) by state: free, in use, reserved, stuck or missing",
        ("host", "model", "numa_node", "state"),
        found.items(),
    )
    yield _gauge(
        "nova_gpu_stranded_devices",
        "Free GPUs that no server of any flavor can use now, by what such a server is short of",
        ("host", "model", "cause"),
        _counted((gpu.host, gpu.model, str(gpu.cause)) for gpu in snapshot.capacity.stranded),
    )


def _devices(snapshot: Snapshot) -> Metric:
    return _gauge(
        "nova_gpu_device_state",
        "1 for the state that a GPU (or the VFs of one) is in",
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
        "GPUs of one server of the flavor; without model, if it asks for several models",
        ("flavor", "model"),
        (((each.flavor, each.model or ""), each.gpus) for each in flavors),
    )
    yield _gauge(
        "nova_gpu_flavor_servers_possible",
        "Further servers of the flavor that fit now, if no others come",
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
        "Whether all of the flavor is modelled, so that its numbers are exact",
        ("flavor",),
        (((each.flavor,), each.exact) for each in flavors),
    )
    yield _gauge(
        "nova_gpu_flavor_refusing_hosts",
        "Hosts with such GPUs, by what refuses the server after the last one that fits",
        ("flavor", "cause"),
        _counted(
            (each.flavor, str(refused.cause))
            for each in flavors
            for refused in tables.refusals(each).values()
        ),
    )


def _hosts(hosts: Sequence[Host]) -> Iterator[Metric]:
    yield _gauge(
        "nova_gpu_host_info",
        "Where a GPU host belongs: the fleet file's host group, availability zone",
        ("host", "group", "availability_zone"),
        (((h.name, h.group or "", h.availability_zone or ""), 1) for h in hosts),
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
        "Servers (or moves of servers) that hold GPUs of the host",
        ("host",),
        (
            ((host.name,), len({key for gpu in host.gpus for key in gpu.consumers}))
            for host in hosts
        ),
    )


def _resources(hosts: Sequence[Host]) -> Iterator[Metric]:
    for name, (word, suffix, unit) in _RESOURCES.items():
        found = [(host.name, host.resources[name]) for host in hosts if name in host.resources]
        yield _gauge(
            f"nova_gpu_host_{word}_capacity{suffix}",
            f"{name} of the host that servers can have in all, overcommitment included",
            ("host",),
            (((host,), resource.capacity * unit) for host, resource in found),
        )
        yield _gauge(
            f"nova_gpu_host_{word}_free{suffix}",
            f"{name} of the host that no server has",
            ("host",),
            (((host,), resource.free * unit) for host, resource in found),
        )


def _numa_nodes(hosts: Sequence[Host]) -> Iterator[Metric]:
    found = [(host.name, node.room(cell)) for host in hosts for cell in host.numa]

    def gauge(name: str, text: str, numbers: Iterable[int]) -> Metric:
        labels = [(host, str(room.id)) for host, room in found]
        rows = zip(labels, numbers, strict=True)
        return _gauge(f"nova_gpu_numa_node_{name}", text, ("host", "numa_node"), rows)

    yield gauge(
        "pinned_cpus_capacity",
        "CPUs of the NUMA node for pinning",
        (room.pinned_total for _, room in found),
    )
    yield gauge(
        "pinned_cpus_free",
        "CPUs of the NUMA node for pinning that no server has",
        (room.pinned_free for _, room in found),
    )
    yield gauge(
        "memory_capacity_bytes",
        "Memory of the NUMA node for servers",
        (room.memory_total_mib * _MIB for _, room in found),
    )
    yield gauge(
        "memory_free_bytes",
        "Memory of the NUMA node that no server with NUMA cells has",
        (room.memory_free_mib * _MIB for _, room in found),
    )


def _node(number: int | None) -> str:
    return "" if number is None else str(number)


def _counted(labels: Iterable[tuple[str, ...]]) -> Iterable[_Row]:
    return Counter(labels).items()


def _gauge(name: str, text: str, labels: Sequence[str], rows: Iterable[_Row]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in rows:
        # Half a character of UTF-16, which JSON can hold, is in no file.
        family.add_metric([value.encode("utf-8", "replace").decode() for value in values], number)
    return family
