# SPDX-License-Identifier: Apache-2.0
"""The input of a simulation is built from files and options."""

import dataclasses

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.packing.count_servers import max_servers
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies import mix as mixes
from nova_gpu_passthrough.simulator import scenario
from nova_gpu_passthrough.simulator.assumed_topology import GuestNuma, HostTopology
from nova_gpu_passthrough.simulator.scenario import ScenarioSources
from nova_gpu_passthrough.simulator.trace import Task, Trace
from tests.unit.generate import builders
from tests.unit.packing.host_states import cell, host, request_class
from tests.unit.simulator.fleets import fleet

NODES = "sn,cpu_milli,memory_mib,gpu,model\n" + "".join(
    f"n{number},32000,65536,4,T4\n" for number in range(10)
)
TASKS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,4000,1024,1,1000\nb,4000,1024,1,460\n"
TRACE = "schema: nova-gpu-passthrough/trace\nversion: 1\ntasks: [{gpus: 2, vcpus: 3}]\n"


@pytest.fixture
def files(tmp_path):
    """Sources by file."""
    paths = {}
    for name, text in {
        "nodes.csv": NODES,
        "tasks.csv": TASKS,
        "trace.yaml": TRACE,
        "mix.yaml": mixes.dump({RequestClass("m", 4, vcpus=2): 5}),
        "hgx.yaml": store.dump(builders.hgx(), "nova-gpu host audit"),
    }.items():
        paths[name] = tmp_path / name
        paths[name].write_text(text)
    return paths


def test_nodes_and_tasks(files):
    loaded = scenario.load(ScenarioSources(nodes=files["nodes.csv"], tasks=files["tasks.csv"]))
    assert len(loaded.simulation.fleet) == 10
    assert dict(loaded.simulation.mix) == {RequestClass("", 1, vcpus=4000, ram_mib=1024): 1}
    assert loaded.with_added_hosts is None
    assert [note.partition(":")[0] for note in loaded.notes] == [
        "rule",
        "1 tasks with a share of a GPU are left out (--shares drop)",
        "rule",
    ]


def test_whole_vcpus_are_converted_to_thousandths(files):
    loaded = scenario.load(
        ScenarioSources(nodes=files["nodes.csv"], tasks=files["trace.yaml"], mix=files["mix.yaml"])
    )
    (task,) = loaded.simulation.trace.tasks
    assert task.request_class.vcpus == 3000
    assert loaded.simulation.mix == {RequestClass("", 4, vcpus=2000): 5}


def test_a_mix_without_tasks_gives_the_requests(files):
    loaded = scenario.load(ScenarioSources(nodes=files["nodes.csv"], mix=files["mix.yaml"]))
    assert loaded.simulation.trace.mix() == loaded.simulation.mix
    assert loaded.simulation.mix == {RequestClass("", 4, vcpus=2000): 5}


def test_inventories_have_the_default_flavors(files):
    loaded = scenario.load(ScenarioSources(inventories=[files["hgx.yaml"]]))
    assert {request_class.gpus for request_class in loaded.simulation.mix} == {1, 2, 4, 8}
    assert loaded.notes == ["each flavor of the fleet is requested as often as the others"]
    loaded = scenario.load(
        ScenarioSources(inventories=[files["hgx.yaml"]], flavors=["gpu.h100-sxm.4,count=3"])
    )
    assert list(loaded.simulation.mix.values()) == [3]


def test_added_hosts_have_pinned_cpus_if_flavors_pin(files):
    loaded = scenario.load(
        ScenarioSources(inventories=[files["hgx.yaml"]], add=["2xHGX-H100", "1xhgx1"])
    )
    _, first, second, third = loaded.with_added_hosts.fleet
    assert all(cell.pinned_cpus and not cell.shared_cpus for cell in first.state.cells)
    assert (second.gpus, third.name) == (8, "hgx1+1")
    assert len(loaded.simulation.fleet) == 1


def test_a_sample_of_the_hosts(files):
    loaded = scenario.load(
        ScenarioSources(nodes=files["nodes.csv"], tasks=files["tasks.csv"], hosts=4)
    )
    assert [host.name for host in loaded.simulation.fleet] == ["n0", "n2", "n5", "n7"]
    assert "4 of 10 hosts, evenly spaced in their list (--hosts)" in loaded.notes


def test_topology_and_numa(files):
    sources = ScenarioSources(
        nodes=files["nodes.csv"], tasks=files["tasks.csv"], numa=GuestNuma.FIT
    )
    loaded = scenario.load(sources)
    assert {len(host.state.cells) for host in loaded.simulation.fleet} == {2}
    assert {task.request_class.numa_cells for task in loaded.simulation.trace.tasks} == {1}
    loaded = scenario.load(dataclasses.replace(sources, topology=HostTopology.NONE))
    assert {len(host.state.cells) for host in loaded.simulation.fleet} == {1}


@pytest.mark.parametrize(
    "given, expected",
    [
        ({}, "no hosts were given"),
        ({"nodes": "nodes.csv"}, "no requests were given"),
        ({"nodes": "nodes.csv", "tasks": "tasks.csv", "flavors": ["gpus=1"]}, "give one"),
        ({"nodes": "nodes.csv", "inventories": ["hgx.yaml"]}, "give one"),
    ],
)
def test_invalid_combinations_are_refused(files, given, expected):
    sources = {
        key: files.get(value, value) if isinstance(value, str) else [files.get(v, v) for v in value]
        for key, value in given.items()
    }
    with pytest.raises(UserError, match=expected):
        scenario.load(ScenarioSources(**sources))


def test_the_load_of_a_trace_with_times_is_reported(files):
    files["trace.yaml"].write_text(
        TRACE.replace(
            "{gpus: 2, vcpus: 3}", "{gpus: 4, arrival: 0, duration: 5}, {gpus: 0, arrival: 10}"
        )
    )
    loaded = scenario.load(
        ScenarioSources(nodes=files["nodes.csv"], tasks=files["trace.yaml"], times=True)
    )
    assert loaded.notes[-1] == "the tasks request 5 % of the GPUs on average"


HOSTS = fleet(host(cell(4, cpus=8, pinned=5), vcpus=8))


def test_as_many_servers_fit_in_thousandths_as_in_whole_vcpus():
    task = Task(request_class(1, cells=1, vcpus=3, pinned_cpus=2))
    trace = Trace([task])
    (found,) = scenario.hosts_in_units(HOSTS, 1000)
    assert (found.vcpus, found.units_per_vcpu) == (8000, 1000)
    assert found.state.cells[0][:2] == (8000, 5000)
    made = scenario.trace_in_units(trace, 1000)
    assert made.units_per_vcpu == 1000
    assert made.tasks[0].request_class == request_class(1, cells=1, vcpus=3000, pinned_cpus=2000)
    assert (
        max_servers(found.state, made.tasks[0].request_class)
        == max_servers(HOSTS[0].state, task.request_class)
        == 2
    )


def test_equal_units_change_nothing():
    trace = Trace([Task(request_class(1))])
    assert scenario.hosts_in_units(HOSTS, 1) == HOSTS
    assert scenario.trace_in_units(trace, 1) is trace
