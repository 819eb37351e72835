# SPDX-License-Identifier: Apache-2.0
"""Traces in the format of openb."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator import openb
from nova_gpu_passthrough.simulator.assumed_topology import GuestNuma
from nova_gpu_passthrough.simulator.openb import Shares

NODES = """\
sn,cpu_milli,memory_mib,gpu,model
n0,64000,262144,2,P100
n1,32000,131072,0,
"""
HEAD = "name,cpu_milli,memory_mib,num_gpu,gpu_milli"
TIMED = f"{HEAD},gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time"


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "file.csv"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def read(write):
    def read(text, shares=Shares.DROP, numa=GuestNuma.NONE):
        hosts = openb.read_nodes(write(NODES))
        return openb.read_tasks(write(text), shares, numa, hosts)

    return read


def test_hosts_with_and_without_gpus(write):
    first, second = openb.read_nodes(write(NODES))
    assert first[0] == "n0"
    assert first[2:] == ("P100", 64000, 262144, 2, 1000)
    assert first.state.free_gpus == 2
    assert second[2:] == (None, 32000, 131072, 0, 1000)
    assert not second.state.free_gpus


@pytest.mark.parametrize(
    "line, expected",
    [
        ("n0,1,1,0,", "file.csv:4: column sn: 'n0', expected a name that no other host has"),
        (",1,1,0,", "column sn"),
        ("n2,1,1,2,", "column model: '', expected the model of the host's 2 GPUs"),
        ("n2,1,1,65,T4", "column gpu: '65', expected at most 64"),
        ("n2,x,1,1,T4", "column cpu_milli: 'x'"),
    ],
)
def test_invalid_hosts_are_refused(write, line, expected):
    with pytest.raises(UserError, match=expected):
        openb.read_nodes(write(NODES + line + "\n"))


def test_a_list_without_hosts_is_refused(write):
    with pytest.raises(UserError, match="has no hosts"):
        openb.read_nodes(write("sn,cpu_milli,memory_mib,gpu,model\n"))


SHARED = f"{HEAD}\na,4000,1024,1,460\nb,8000,2048,2,1000\nc,1000,512,0,0\n"


def test_shares_are_dropped(read):
    trace, notes = read(SHARED)
    assert trace.units_per_vcpu == 1000
    assert [task.request_class for task in trace.tasks] == [
        RequestClass("", 2, None, 8000, 0, 2048),
        RequestClass("", 0, None, 1000, 0, 512),
    ]
    assert notes == ["1 tasks with a share of a GPU are left out (--shares drop)"]


def test_shares_are_rounded_up(read):
    trace, notes = read(SHARED, Shares.ROUND_UP)
    assert [task.request_class.gpus for task in trace.tasks] == [1, 2, 0]
    assert notes == ["1 tasks with a share of a GPU get a whole one (--shares round-up)"]


def test_guests_get_numa_cells(read):
    trace, _ = read(SHARED, numa=GuestNuma.FIT)
    assert [task.request_class.numa_cells for task in trace.tasks] == [2, 1]


def test_tasks_are_bound_to_a_model_of_the_fleet(read):
    trace, notes = read(f"{TIMED}\na,1,1,1,1000,V100|P100,,,,,\nb,1,1,1,1000,V100,,,,,\n")
    assert [task.request_class.model for task in trace.tasks] == ["P100", "V100"]
    assert len(notes) == 1
    assert notes[0].startswith("1 tasks that accept several models")


def test_times(read):
    trace, _ = read(f"{TIMED}\na,1,1,0,0,,,,5,105,15\nb,1,1,0,0,,,,7,20,\n")
    assert [(task.arrival, task.duration) for task in trace.tasks] == [(5, 90), (7, 13)]
    assert trace.has_times
    trace, _ = read(f"{HEAD}\na,1,1,0,0\n")
    assert not trace.has_times


def test_a_task_that_ends_before_it_starts_is_refused(read):
    with pytest.raises(UserError, match=r":2: column scheduled_time: '30', expected .* 20"):
        read(f"{TIMED}\na,1,1,0,0,,,,5,20,30\n")


def test_a_list_without_usable_tasks_is_refused(read):
    with pytest.raises(UserError, match="has no usable tasks"):
        read(f"{HEAD}\na,4000,1024,1,460\n")
