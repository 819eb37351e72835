# SPDX-License-Identifier: Apache-2.0
"""Servers whose GPUs are apart."""

from nova_gpu_passthrough.packing.host_state import GpuGroup, canonical
from nova_gpu_passthrough.simulator import split
from tests.unit.packing.host_states import cell, host


def state(*free, link=0):
    return canonical(host(*(cell(one, link=link) for one in free)))


def test_gpus_of_one_numa_node_or_two():
    assert not split.over_numa_nodes(state(4, 3), state(4, 1))
    assert not split.over_numa_nodes(state(4, 3), state(2, 3))
    assert not split.over_numa_nodes(state(4, 4), state(4, 0))
    assert split.over_numa_nodes(state(4, 4), state(3, 3))
    assert split.over_numa_nodes(state(2, 2), state(0, 0))


def test_gpus_of_unknown_nodes_do_not_count():
    loose = canonical(host(loose=[GpuGroup("H100", 0, 4)]))
    assert not split.over_numa_nodes(loose, canonical(host(loose=[GpuGroup("H100", 0, 1)])))


def test_gpus_of_one_link_group_or_none():
    board = state(4, 4, link=1)
    assert not split.over_links(board, state(3, 3, link=1))
    assert split.over_links(state(4, 4), state(2, 4))
    pairs = canonical(
        host(cell(0)._replace(gpus=(GpuGroup("G2", 1, 2), GpuGroup("G2", 2, 2))), cell(0))
    )
    one = canonical(host(cell(0)._replace(gpus=(GpuGroup("G2", 1, 2),)), cell(0)))
    apart = canonical(host(cell(2, model="G2"), cell(0)))
    assert not split.over_links(pairs, one)
    assert split.over_links(pairs, apart)
