# SPDX-License-Identifier: Apache-2.0
import pytest

from nova_gpu_passthrough.nova_rules import emulate_placement
from tests.unit.nova_rules import host_capacities


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (host_capacities.needs(), "the guest needs 1 x (4 pinned CPUs, 8192 MiB)"),
        (host_capacities.needs(vcpus=8, hw__numa_nodes="2"), "2 x (4 pinned CPUs, 4096 MiB)"),
        (
            host_capacities.needs(hw__cpu_policy="mixed", hw__cpu_dedicated_mask="0"),
            "1 x (1 pinned and 3 shared CPUs, 8192 MiB)",
        ),
        (
            host_capacities.needs(hw__cpu_policy="", hw__numa_nodes="1"),
            "1 x (4 shared CPUs, 8192 MiB)",
        ),
        (
            host_capacities.needs(),
            "node 1 has 4 free devices of the kind, 16 of 16 CPUs free for pinning",
        ),
        (
            host_capacities.needs(0),
            "node 1 has 16 of 16 CPUs free for pinning, 65536 of 65536 MiB free",
        ),
        (host_capacities.needs(hw__mem_page_size="small"), "enough memory in pages of 4 KiB"),
        (
            host_capacities.needs(hw__mem_page_size="1GB"),
            "free: 65536 MiB in pages of 4 KiB",
        ),
        (
            host_capacities.needs(hw__cpu_policy="", hw__numa_nodes="1"),
            "0 shared CPUs with 0 vCPUs on them",
        ),
    ],
)
def test_the_guests_cells_and_what_nodes_have(needs, words):
    assert words in emulate_placement.nodes(host_capacities.room(), needs)
