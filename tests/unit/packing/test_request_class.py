# SPDX-License-Identifier: Apache-2.0
"""Classes of servers that request the same of their host."""

import dataclasses

import pytest

from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass, gpu_locality
from nova_gpu_passthrough.topology.model import NumaPolicy


@pytest.mark.parametrize(
    "policy, cells, on_few_nodes, expected",
    [
        (NumaPolicy.REQUIRED, 1, False, GpuLocality.LOCAL),
        (NumaPolicy.SOCKET, 2, False, GpuLocality.LOCAL),
        (NumaPolicy.LEGACY, 1, False, GpuLocality.LOCAL_OR_UNKNOWN),
        (NumaPolicy.PREFERRED, 1, False, GpuLocality.ANY_NODE),
        # Without a NUMA topology of the guest, Nova's policies have no effect.
        (NumaPolicy.REQUIRED, 0, False, GpuLocality.ANY_NODE),
        (NumaPolicy.PREFERRED, 0, True, GpuLocality.LOCAL),
        (NumaPolicy.PREFERRED, 1, True, GpuLocality.LOCAL),
    ],
)
def test_which_gpus_a_server_may_get(policy, cells, on_few_nodes, expected):
    assert gpu_locality(policy, cells, on_few_nodes) is expected


def test_names_do_not_distinguish_classes():
    assert len({RequestClass("a", 1), RequestClass("b", 1), RequestClass("a", 2)}) == 2


def test_the_cells_share_the_requests_of_a_server():
    some = RequestClass("a", 2, vcpus=7, pinned_cpus=4, ram_mib=1001, numa_cells=2)
    assert (some.cell_vcpus, some.cell_pinned_cpus, some.cell_ram_mib) == (4, 2, 501)
    whole = RequestClass("a", vcpus=7, ram_mib=1001)
    assert (whole.cell_vcpus, whole.cell_ram_mib) == (7, 1001)


LARGE = RequestClass("large", 4, "H100", vcpus=8, pinned_cpus=16, ram_mib=64, numa_cells=2)


@pytest.mark.parametrize(
    "changes, at_least",
    [
        ({}, True),
        ({"gpus": 1, "vcpus": 2, "pinned_cpus": 4, "ram_mib": 16, "numa_cells": 1}, True),
        ({"model": None}, True),
        ({"disk_gib": 9}, True),
        ({"gpus": 5}, False),
        ({"model": "T4"}, False),
        ({"vcpus": 9}, False),
        ({"pinned_cpus": 17}, False),
        ({"ram_mib": 65}, False),
        ({"numa_cells": 3}, False),
        ({"linked": True}, False),
    ],
)
def test_a_class_demands_at_least_what_a_smaller_one_does(changes, at_least):
    assert LARGE.demands_at_least(dataclasses.replace(LARGE, **changes)) is at_least


def test_a_class_with_any_model_does_not_demand_one_model():
    any_model = dataclasses.replace(LARGE, model=None)
    assert not any_model.demands_at_least(LARGE)
