# SPDX-License-Identifier: Apache-2.0
"""Metrics of a snapshot."""

import re

import pytest
from hypothesis import given, settings
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from nova_gpu_passthrough.cloud.report import metrics
from nova_gpu_passthrough.cloud.report.exporter import Exporter
from nova_gpu_passthrough.cloud.view.model import DeviceState
from nova_gpu_passthrough.nova_rules.refusal import Constraint
from tests.unit.cloud.report import fleets, strategies

GIB = 2**30


def _text(snapshot, devices=True):
    exporter, registry = Exporter(lambda: snapshot, devices), CollectorRegistry()
    registry.register(exporter)
    exporter.refresh()
    return generate_latest(registry).decode()


def _samples(text):
    """Values by name and labels, as Prometheus reads them."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            assert key not in found, f"duplicate sample {key}"
            found[key] = sample.value
    return found


@pytest.fixture(scope="module")
def four():
    return _samples(_text(fleets.four()))


def _value(samples, name, **labels):
    return samples[(name, *sorted(labels.items()))]


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("devices", {"host": "gpu02", "model": "H100-SXM", "numa_node": "1", "state": "free"}, 2),
        ("devices", {"host": "gpu02", "model": "H100-SXM", "numa_node": "1", "state": "stuck"}, 1),
        ("devices", {"host": "gpu02", "model": "H100-SXM", "numa_node": "0", "state": "stuck"}, 0),
        ("devices", {"host": "gpu03", "model": "L40S", "numa_node": "0", "state": "in-use"}, 1),
        ("stranded_devices", {"host": "gpu01", "model": "H100-SXM", "cause": "vcpus"}, 1),
        ("flavor_gpus", {"flavor": "gpu.h100.8", "model": "H100-SXM"}, 8),
        ("flavor_servers_possible", {"flavor": "gpu.h100.1"}, 4),
        ("flavor_hosts_possible", {"flavor": "gpu.h100.1"}, 1),
        ("flavor_exact", {"flavor": "gpu.l40s.1"}, 0),
        ("flavor_refusing_hosts", {"flavor": "gpu.h100.1", "cause": "gpus"}, 1),
        ("host_info", {"host": "gpu01", "group": "h100", "availability_zone": "nova"}, 1),
        ("usable_devices", {"host": "gpu02", "model": "H100-SXM"}, 4),
        ("usable_devices", {"host": "gpu01", "model": "H100-SXM"}, 0),
        ("usable_devices", {"host": "gpu03", "model": "L40S"}, 0),
        ("servers", {"status": "ACTIVE"}, 5),
        ("host_up", {"host": "gpu03"}, 1),
        ("host_enabled", {"host": "gpu03"}, 0),
        ("host_gpu_servers", {"host": "gpu01"}, 3),
        ("host_pcpus_capacity", {"host": "gpu01"}, 120),
        ("host_pcpus_free", {"host": "gpu01"}, 15),
        ("host_vcpus_capacity", {"host": "gpu01"}, 16),
        ("host_memory_capacity_bytes", {"host": "gpu01"}, 1008 * GIB),
        ("host_memory_free_bytes", {"host": "gpu01"}, 168 * GIB),
        ("host_disk_free_bytes", {"host": "gpu01"}, (2000 - 3 * 40) * GIB),
        ("numa_node_pinned_cpus_capacity", {"host": "gpu01", "numa_node": "0"}, 60),
        ("numa_node_pinned_cpus_free", {"host": "gpu01", "numa_node": "0"}, 15),
        ("numa_node_memory_capacity_bytes", {"host": "gpu01", "numa_node": "1"}, 504 * GIB),
        ("numa_node_memory_free_bytes", {"host": "gpu01", "numa_node": "1"}, 24 * GIB),
        ("waiting_servers", {"status": "ERROR"}, 1),
        ("notes", {}, 2),
        ("read_timestamp_seconds", {}, 1772368200),
    ],
)
def test_numbers_of_a_cloud(four, name, labels, value):
    assert _value(four, f"nova_gpu_{name}", **labels) == value


def test_every_state_of_every_model_has_a_series_even_if_it_is_0(four):
    """Series that appear and disappear cause gaps in graphs and alerts that never end."""
    states = {}
    for name, *labels in four:
        if name == "nova_gpu_devices":
            found = dict(labels)
            states.setdefault((found["host"], found["numa_node"]), set()).add(found["state"])
    assert len(states) == 6
    assert all(found == set(DeviceState) for found in states.values())


def test_hosts_without_such_gpus_are_not_counted_as_refusing(four):
    found = [dict(labels) for name, *labels in four if name == "nova_gpu_flavor_refusing_hosts"]
    causes = {each["cause"] for each in found if each["flavor"] == "gpu.h100.1"}
    assert causes == {"vcpus", "gpus"}


def test_each_gpu_is_in_one_state(four):
    found = [dict(labels) for name, *labels in four if name == "nova_gpu_device_state"]
    assert len(found) == len({(each["host"], each["address"]) for each in found}) == 20
    assert {"host": "gpu02", "address": "0000:25:00.0", "state": "stuck"}.items() <= next(
        each.items() for each in found if each["state"] == "stuck"
    )


def test_without_devices_the_number_of_series_does_not_depend_on_gpus():
    small, large = fleets.view(fleets.l40s("a")), fleets.view(fleets.hgx("a", group="l40s"))
    names = []
    for cloud_view in (small, large):
        text = _text(fleets.Snapshot(cloud_view, fleets.capacity(cloud_view)), devices=False)
        assert "nova_gpu_device_state" not in text
        assert "address=" not in text
        names.append(len(_samples(text)))
    assert names[0] == names[1]


def test_failure_domains_are_a_metric_of_their_own():
    samples = _samples(_text(fleets.many(16, racks=True)))
    domains = [dict(labels) for name, *labels in samples if name == "nova_gpu_host_domain_info"]
    hosts = {each["host"] for each in domains}
    assert len(domains) == 2 * len(hosts)
    assert {each["level"]: each["domain"] for each in domains if each["host"] == max(hosts)} == {
        "rack": "r02",
        "room": "b",
    }


def test_labels_contain_no_names_of_servers_or_projects():
    text = _text(fleets.four())
    for word in ("train-1", "research", "render", "alice"):
        assert word not in text


def test_the_number_of_series_is_limited_by_hosts_and_flavors():
    snapshot = fleets.many(64)
    count = len(_samples(_text(snapshot, devices=False)))
    # For each host: states on two NUMA nodes, 13 of the host, 4 of each node, one constraint.
    most = 64 * (2 * len(DeviceState) + 13 + 2 * 4 + 1) + 4 * (4 + len(Constraint)) + 20
    assert count <= most


def test_names_and_units_follow_the_conventions_of_prometheus(four):
    names = {name for name, *_ in four}
    assert len(names) > 25
    for name in names:
        assert re.fullmatch(r"nova_gpu_[a-z]+(_[a-z]+)*", name)
        if "memory" in name or "disk" in name:
            assert name.endswith("_bytes")
        assert name.endswith("_total") == (name == "nova_gpu_reads_total")


def test_a_cloud_without_gpu_hosts_has_metrics():
    cloud_view = fleets.view()
    samples = _samples(_text(fleets.Snapshot(cloud_view, fleets.capacity(cloud_view))))
    assert _value(samples, "nova_gpu_read_success") == 1
    assert _value(samples, "nova_gpu_notes") == 0


@settings(max_examples=30)
@given(strategies.snapshots())
def test_every_gpu_of_any_cloud_is_counted_once(snapshot):
    gpus = [gpu for host in snapshot.view.hosts for gpu in host.gpus]
    families = {family.name: family for family in metrics.families(snapshot)}
    for family in families.values():
        keys = [tuple(sorted(sample.labels.items())) for sample in family.samples]
        assert len(keys) == len(set(keys))
    total = sum(sample.value for sample in families["nova_gpu_devices"].samples)
    assert total == sum(max(1, gpu.resource.total) for gpu in gpus)
    assert len(families["nova_gpu_device_state"].samples) == len(gpus)
    _text(snapshot).encode()
