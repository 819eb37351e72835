# SPDX-License-Identifier: Apache-2.0
"""Classes of servers that ask their host for the same."""

import dataclasses

import pytest

from nova_gpu_passthrough.packing.request_class import Reach, RequestClass, reach
from nova_gpu_passthrough.topology.model import NumaPolicy


@pytest.mark.parametrize(
    "policy, cells, on_few_nodes, expected",
    [
        (NumaPolicy.REQUIRED, 1, False, Reach.NEAR),
        (NumaPolicy.SOCKET, 2, False, Reach.NEAR),
        (NumaPolicy.LEGACY, 1, False, Reach.NOT_FAR),
        (NumaPolicy.PREFERRED, 1, False, Reach.ANYWHERE),
        # Without a NUMA topology of the guest, Nova's policies mean nothing.
        (NumaPolicy.REQUIRED, 0, False, Reach.ANYWHERE),
        (NumaPolicy.PREFERRED, 0, True, Reach.NEAR),
        (NumaPolicy.PREFERRED, 1, True, Reach.NEAR),
    ],
)
def test_which_gpus_a_server_may_get(policy, cells, on_few_nodes, expected):
    assert reach(policy, cells, on_few_nodes) is expected


def test_names_tell_no_classes_apart():
    assert len({RequestClass("a", 1), RequestClass("b", 1), RequestClass("a", 2)}) == 2


def test_cells_share_what_a_server_asks_for():
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
def test_it_demands_at_least_what_one_that_is_nowhere_larger_does(changes, at_least):
    assert LARGE.demands_at_least(dataclasses.replace(LARGE, **changes)) is at_least


def test_what_takes_any_model_does_not_demand_places_of_one():
    any_model = dataclasses.replace(LARGE, model=None)
    assert not any_model.demands_at_least(LARGE)
