# SPDX-License-Identifier: Apache-2.0
"""Files and words together."""

import dataclasses

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies import mix as mixes
from nova_gpu_passthrough.simulator import scenario
from nova_gpu_passthrough.simulator.layout import Numa, Topology
from nova_gpu_passthrough.simulator.scenario import Sources
from tests.unit.generate import builders

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
    made = scenario.make(Sources(nodes=files["nodes.csv"], tasks=files["tasks.csv"]))
    assert len(made.scenario.fleet) == 10
    assert dict(made.scenario.mix) == {RequestClass("", 1, vcpus=4000, ram_mib=1024): 1}
    assert made.added is None
    assert [note.partition(":")[0] for note in made.notes] == [
        "rule",
        "1 tasks with a share of a GPU are left out (--shares drop)",
        "rule",
    ]


def test_whole_vcpus_meet_thousandths(files):
    made = scenario.make(
        Sources(nodes=files["nodes.csv"], tasks=files["trace.yaml"], mix=files["mix.yaml"])
    )
    (task,) = made.scenario.trace.tasks
    assert task.wanted.vcpus == 3000
    assert made.scenario.mix == {RequestClass("", 4, vcpus=2000): 5}


def test_a_mix_alone_is_what_is_asked_for(files):
    made = scenario.make(Sources(nodes=files["nodes.csv"], mix=files["mix.yaml"]))
    assert made.scenario.trace.mix() == made.scenario.mix
    assert made.scenario.mix == {RequestClass("", 4, vcpus=2000): 5}


def test_inventories_bring_their_flavors(files):
    made = scenario.make(Sources(inventories=[files["hgx.yaml"]]))
    assert {wanted.gpus for wanted in made.scenario.mix} == {1, 2, 4, 8}
    assert made.notes == ["each flavor of the fleet is asked for as often as the others"]
    made = scenario.make(
        Sources(inventories=[files["hgx.yaml"]], flavors=["gpu.h100-sxm.4,count=3"])
    )
    assert list(made.scenario.mix.values()) == [3]


def test_added_hosts_are_like_those_that_flavors_need(files):
    made = scenario.make(Sources(inventories=[files["hgx.yaml"]], add=["2xHGX-H100", "1xhgx1"]))
    _, first, second, third = made.added.fleet
    assert all(cell.pinned_cpus and not cell.shared_cpus for cell in first.state.cells)
    assert (second.gpus, third.name) == (8, "hgx1+1")
    assert len(made.scenario.fleet) == 1


def test_some_of_the_hosts(files):
    made = scenario.make(Sources(nodes=files["nodes.csv"], tasks=files["tasks.csv"], hosts=4))
    assert [host.name for host in made.scenario.fleet] == ["n0", "n2", "n5", "n7"]
    assert "4 of 10 hosts, at even distances in their list (--hosts)" in made.notes


def test_topology_and_numa(files):
    sources = Sources(nodes=files["nodes.csv"], tasks=files["tasks.csv"], numa=Numa.FIT)
    made = scenario.make(sources)
    assert {len(host.state.cells) for host in made.scenario.fleet} == {2}
    assert {task.wanted.numa_cells for task in made.scenario.trace.tasks} == {1}
    made = scenario.make(dataclasses.replace(sources, topology=Topology.NONE))
    assert {len(host.state.cells) for host in made.scenario.fleet} == {1}


@pytest.mark.parametrize(
    "given, expected",
    [
        ({}, "no hosts were named"),
        ({"nodes": "nodes.csv"}, "nothing says what is asked for"),
        ({"nodes": "nodes.csv", "tasks": "tasks.csv", "flavors": ["gpus=1"]}, "give one"),
        ({"nodes": "nodes.csv", "inventories": ["hgx.yaml"]}, "give one"),
    ],
)
def test_what_does_not_go_together(files, given, expected):
    found = {
        key: files.get(value, value) if isinstance(value, str) else [files.get(v, v) for v in value]
        for key, value in given.items()
    }
    with pytest.raises(UserError, match=expected):
        scenario.make(Sources(**found))


def test_the_load_of_a_trace_with_times_is_told(files):
    files["trace.yaml"].write_text(
        TRACE.replace(
            "{gpus: 2, vcpus: 3}", "{gpus: 4, arrival: 0, duration: 5}, {gpus: 0, arrival: 10}"
        )
    )
    made = scenario.make(Sources(nodes=files["nodes.csv"], tasks=files["trace.yaml"], times=True))
    assert made.notes[-1] == "the tasks ask for 5 % of the GPUs on average"
