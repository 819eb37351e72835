# SPDX-License-Identifier: Apache-2.0
"""Classes of servers that ask their host for the same."""

import pytest

from nova_gpu_passthrough.topology.model import NumaPolicy
from nova_gpu_passthrough.topology.request_class import Reach, RequestClass, reach


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
