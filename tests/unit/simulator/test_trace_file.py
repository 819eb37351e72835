# SPDX-License-Identifier: Apache-2.0
"""Traces in YAML."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.request_class import Reach, RequestClass
from nova_gpu_passthrough.simulator import trace_file
from nova_gpu_passthrough.simulator.trace import Task

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
    wanted = RequestClass("train", 8, "H100-SXM", 4, 96, 1024, 10, 2, Reach.NEAR, True)
    assert first == Task(wanted, 2.0)
    assert first.wanted.name == "train"
    assert second == Task(RequestClass("", vcpus=2))
    assert second.wanted.name == "task 2"
    assert dict(trace.mix()) == {first.wanted: 2, second.wanted: 1}


@pytest.mark.parametrize(
    "keys, reach",
    [
        ("numa_cells: 1", Reach.NOT_FAR),
        ("numa_cells: 1, numa_policy: preferred", Reach.ANYWHERE),
        ("numa_policy: required", Reach.NEAR),
        ("vcpus: 1", Reach.ANYWHERE),
    ],
)
def test_which_gpus_it_may_get(load, keys, reach):
    (task,) = load(f"- {{gpus: 1, {keys}}}\n").tasks
    assert task.wanted.reach is reach


def test_several_that_come_at_once(load):
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
        ("- {gpus: 65}\n", r":4: key tasks\[0\].gpus: 65 is greater"),
        ("- {gpus: 1, duration: 5}\n", "arrival"),
        ("- {gpus: 1, pinned_cpus: 5}\n", "numa_cells"),
        ("- {gpus: 1, gpu: 5}\n", "gpu"),
        ("- 5\n", r"key tasks\[0\]"),
    ],
)
def test_a_file_that_is_none(load, text, expected):
    with pytest.raises(UserError, match=expected):
        load(text)
