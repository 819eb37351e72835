# SPDX-License-Identifier: Apache-2.0
"""Flavors in words."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.request_class import Reach, RequestClass
from nova_gpu_passthrough.simulator import flavors
from tests.unit.packing.host_states import wanted

KNOWN = {"gpu.1": wanted(1), "gpu.8": wanted(8)}


def test_those_of_the_fleet():
    trace = flavors.trace(["gpu.8", "gpu.1,count=3"], KNOWN)
    assert [(task.wanted, task.weight) for task in trace.tasks] == [(wanted(8), 1), (wanted(1), 3)]


def test_those_that_are_described():
    words = ["gpus=8,vcpus=96,ram-gib=900,model=H100-SXM,numa=2,linked,count=2", "vcpus=4"]
    first, second = flavors.trace(words, KNOWN).tasks
    assert first.wanted == RequestClass(
        "", 8, "H100-SXM", 96, 0, 900 * 1024, 0, 2, Reach.NEAR, True
    )
    assert (first.wanted.name, first.weight) == (words[0], 2)
    assert second.wanted == RequestClass("", vcpus=4)


def test_pinned_cpus_make_a_numa_cell():
    (task,) = flavors.trace(["gpus=1,pinned-cpus=4"], {}).tasks
    assert task.wanted == RequestClass("", 1, pinned_cpus=4, numa_cells=1, reach=Reach.NEAR)


@pytest.mark.parametrize(
    "word, expected",
    [
        ("gpu.9", "the fleet has no flavor gpu.9; near: gpu.8"),
        ("gpu.1,gpus=2", "gpu.1 is a flavor of the fleet"),
        ("gpu.1,count=0", "count is '0', expected a whole number from 1"),
        ("gpus=x", "gpus is 'x', expected a whole number from 0 to 64"),
        ("gpus=65", "expected a whole number from 0 to 64"),
        ("gpus=1,gpus=2", "'gpus=2'; expected NAME"),
        ("gpus=1,cpus=2", "'cpus=2'; expected NAME"),
        ("gpus=1,linked=yes", "'linked=yes'; expected NAME"),
        ("gpus=", "'gpus='; expected NAME"),
    ],
)
def test_words_that_make_no_sense(word, expected):
    with pytest.raises(UserError, match=f"--flavor {word}: .*{expected}"):
        flavors.trace([word], KNOWN)
