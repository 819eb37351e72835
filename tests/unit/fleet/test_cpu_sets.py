# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.fleet import cpu_sets
from nova_gpu_passthrough.fleet.offers import choose
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.inventory.host import NumaNode
from tests.unit.generate import builders


def propose(found, host_cores=None):
    (offer,), _ = choose([found], Settings())
    sets = cpu_sets.propose(offer, host_cores)
    return sets and tuple(
        cpu_list.to_text(part) for part in (sets.dedicated, sets.shared, sets.host)
    )


def test_a_few_cores_of_each_node_are_shared_if_all_nodes_have_gpus():
    # Node 0: cores 0-7 with 16-23; node 1: cores 8-15 with 24-31.
    assert propose(builders.hgx()) == ("2-7,10-15,18-23,26-31", "1,9,17,25", "0,8,16,24")


def test_nodes_without_gpus_are_shared():
    found = builders.inventory(
        devices=[builders.device("0000:41:00.0", numa_node=1)],
        gpus=[builders.gpu("0000:41:00.0")],
    )
    assert propose(found) == ("9-15,25-31", "1-7,17-23", "0,8,16,24")


def test_the_host_keeps_as_many_cores_as_configured():
    assert propose(builders.hgx(), 2)[2] == "0-1,8-9,16-17,24-25"
    assert propose(builders.hgx(), 0) == ("0-31", "", "")
    # At least one core of each node is for servers.
    dedicated, shared, host = propose(builders.hgx(), 99)
    assert (dedicated, shared) == ("7,15,23,31", "")


def test_large_nodes_keep_more_for_the_host():
    found = builders.hgx(numa_nodes=builders.nodes(2, 56))
    assert propose(found)[2] == "0-1,56-57,112-113,168-169"


def test_a_gpu_without_a_known_node_counts_for_all_nodes():
    found = builders.inventory(
        devices=[builders.device("0000:41:00.0", numa_node=None)],
        gpus=[builders.gpu("0000:41:00.0")],
    )
    assert propose(found)[0] == "2-7,10-15,18-23,26-31"


def test_the_nearest_node_is_used_for_a_node_without_cpus():
    nodes = (
        *(dataclasses.replace(node, distances=()) for node in builders.nodes()),
        NumaNode(2, memory_mib=96 * 1024, distances=(40, 20, 10)),
    )
    found = builders.inventory(
        devices=[builders.device("0000:41:00.0", numa_node=2)],
        gpus=[builders.gpu("0000:41:00.0")],
        numa_nodes=nodes,
    )
    assert propose(found)[0] == "9-15,25-31"


@pytest.mark.parametrize("nodes", [(), builders.nodes(2, 1)])
def test_there_is_no_proposal_without_enough_cores(nodes):
    assert propose(builders.hgx(numa_nodes=nodes)) is None
