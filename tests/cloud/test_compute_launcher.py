# SPDX-License-Identifier: Apache-2.0
"""The host that the fake libvirt of a nova-compute reports."""

import pytest

from nova_gpu_passthrough.inventory.host import NumaNode
from tests.cloud import compute_launcher
from tests.unit.generate import builders


@pytest.mark.parametrize(
    "cores, threads",
    [
        (("0-1", "2-3", "4-5"), 2),
        (("0,112", "1,113", "2,114"), 2),
        (("0,8,16,24", "1,9,17,25"), 4),
        (("0-3", "4-7"), 4),
        (("0", "1"), 1),
    ],
)
def test_a_host_has_the_cores_and_threads_of_its_inventory(cores, threads):
    nodes = tuple(NumaNode(node, node, "", cores, 512 * 1024) for node in range(2))
    info = compute_launcher.host_info(builders.inventory("host", numa_nodes=nodes))
    assert (info.cpu_sockets, info.cpu_cores, info.cpu_threads) == (2, len(cores), threads)
    assert info.cpus == 2 * len(cores) * threads
    assert len(info.numa_topology.cells) == 2
