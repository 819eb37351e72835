# SPDX-License-Identifier: Apache-2.0
"""Values of ``--flavor``."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass
from nova_gpu_passthrough.simulator import flavor_specs
from tests.unit.packing.host_states import request_class

KNOWN = {"gpu.1": request_class(1), "gpu.8": request_class(8)}


def test_flavors_of_the_fleet():
    trace = flavor_specs.trace(["gpu.8", "gpu.1,count=3"], KNOWN)
    assert [(task.request_class, task.weight) for task in trace.tasks] == [
        (request_class(8), 1),
        (request_class(1), 3),
    ]


def test_described_flavors():
    words = ["gpus=8,vcpus=96,ram-gib=900,model=H100-SXM,numa=2,linked,count=2", "vcpus=4"]
    first, second = flavor_specs.trace(words, KNOWN).tasks
    assert first.request_class == RequestClass(
        "", 8, "H100-SXM", 96, 0, 900 * 1024, 0, 2, GpuLocality.LOCAL, True
    )
    assert (first.request_class.name, first.weight) == (words[0], 2)
    assert second.request_class == RequestClass("", vcpus=4)


def test_pinned_cpus_imply_a_numa_cell():
    (task,) = flavor_specs.trace(["gpus=1,pinned-cpus=4"], {}).tasks
    assert task.request_class == RequestClass(
        "", 1, pinned_cpus=4, numa_cells=1, gpu_locality=GpuLocality.LOCAL
    )


@pytest.mark.parametrize(
    "word, expected",
    [
        ("gpu.9", r"the fleet has no flavor gpu.9; did you mean gpu.8 or gpu.1\?"),
        ("gpu.1,gpus=2", "gpu.1 is a flavor of the fleet"),
        ("gpu.1,count=0", "count is '0', expected a whole number from 1"),
        ("gpus=x", "gpus is 'x', expected a whole number from 0 to 64"),
        ("gpus=65", "expected a whole number from 0 to 64"),
        ("gpus=1,gpus=2", "'gpus=2' is invalid; expected NAME"),
        ("gpus=1,cpus=2", "'cpus=2' is invalid; expected NAME"),
        ("gpus=1,linked=yes", "'linked=yes' is invalid; expected NAME"),
        ("gpus=", "'gpus=' is invalid; expected NAME"),
    ],
)
def test_invalid_values_are_refused(word, expected):
    with pytest.raises(UserError, match=f"--flavor {word}: .*{expected}"):
        flavor_specs.trace([word], KNOWN)
