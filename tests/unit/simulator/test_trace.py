# SPDX-License-Identifier: Apache-2.0
"""Traces, and how they are read from YAML."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass
from nova_gpu_passthrough.simulator import trace as trace_file
from nova_gpu_passthrough.simulator.trace import Task, Trace
from tests.unit.packing.host_states import request_class


def test_equal_classes_are_counted_together():
    trace = Trace([Task(request_class(1), 2), Task(request_class(2)), Task(request_class(1))])
    assert trace.mix() == {request_class(1): 3, request_class(2): 1}


def test_a_trace_has_times_if_all_tasks_have_one():
    assert Trace([Task(request_class(1), arrival=0.0)]).has_times
    assert not Trace([Task(request_class(1), arrival=0.0), Task(request_class(1))]).has_times
    assert not Trace([]).has_times


HEAD = "schema: nova-gpu-passthrough/trace\nversion: 1\ntasks:\n"


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "trace.yaml"
        path.write_text(HEAD + text)
        return trace_file.load(path)

    return load


def test_all_keys(load):
    trace = load(
        "- {name: train, count: 2, gpus: 8, model: H100-SXM, vcpus: 4, pinned_cpus: 96,\n"
        "   ram_mib: 1024, disk_gib: 10, numa_cells: 2, numa_policy: required, linked: true}\n"
        "- {gpus: 0, vcpus: 2}\n"
    )
    (first, second) = trace.tasks
    request_class = RequestClass(
        "train", 8, "H100-SXM", 4, 96, 1024, 10, 2, GpuLocality.LOCAL, True
    )
    assert first == Task(request_class, 2.0)
    assert first.request_class.name == "train"
    assert second == Task(RequestClass("", vcpus=2))
    assert second.request_class.name == "task 2"
    assert dict(trace.mix()) == {first.request_class: 2, second.request_class: 1}


@pytest.mark.parametrize(
    "keys, reach",
    [
        ("numa_cells: 1", GpuLocality.LOCAL_OR_UNKNOWN),
        ("numa_cells: 1, numa_policy: preferred", GpuLocality.ANY_NODE),
        ("numa_policy: required", GpuLocality.LOCAL),
        ("vcpus: 1", GpuLocality.ANY_NODE),
    ],
)
def test_the_numa_policy_decides_which_gpus_a_task_may_get(load, keys, reach):
    (task,) = load(f"- {{gpus: 1, {keys}}}\n").tasks
    assert task.request_class.gpu_locality is reach


def test_several_tasks_with_one_arrival_time(load):
    trace = load("- {gpus: 1, count: 3, arrival: 5, duration: 60}\n- {gpus: 2, arrival: 1}\n")
    assert [(task.arrival, task.duration, task.weight) for task in trace.tasks] == [
        (5, 60, 1),
        (5, 60, 1),
        (5, 60, 1),
        (1, None, 1),
    ]
    assert trace.has_times


@pytest.mark.parametrize(
    "text, expected",
    [
        ("- {gpus: 1, arrival: 1}\n- {gpus: 1}\n", r"trace.yaml:5: key tasks\[1\]: some tasks"),
        ("- {gpus: 1, arrival: 1, count: 1.5}\n", r":4: key tasks\[0\].count: 1.5, expected a wh"),
        ("- {gpus: 65}\n", r":4: key tasks\[0\].gpus: must be at most 64, not 65"),
        ("- {gpus: 1, duration: 5}\n", "arrival"),
        ("- {gpus: 1, pinned_cpus: 5}\n", "numa_cells"),
        ("- {gpus: 1, gpu: 5}\n", "gpu"),
        ("- 5\n", r"key tasks\[0\]"),
    ],
)
def test_invalid_files_are_refused(load, text, expected):
    with pytest.raises(UserError, match=expected):
        load(text)
