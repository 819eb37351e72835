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


def test_where_all_nodes_have_gpus_a_few_cores_of_each_are_shared():
    # Node 0: cores 0-7 with 16-23; node 1: cores 8-15 with 24-31.
    assert propose(builders.hgx()) == ("2-7,10-15,18-23,26-31", "1,9,17,25", "0,8,16,24")


def test_nodes_without_gpus_are_shared():
    found = builders.inventory(
        devices=[builders.device("0000:41:00.0", numa_node=1)],
        gpus=[builders.gpu("0000:41:00.0")],
    )
    assert propose(found) == ("9-15,25-31", "1-7,17-23", "0,8,16,24")


def test_the_operator_says_how_many_cores_the_host_keeps():
    assert propose(builders.hgx(), 2)[2] == "0-1,8-9,16-17,24-25"
    assert propose(builders.hgx(), 0) == ("0-31", "", "")
    # At least one core of each node is for servers.
    dedicated, shared, host = propose(builders.hgx(), 99)
    assert (dedicated, shared) == ("7,15,23,31", "")


def test_large_nodes_keep_more_for_the_host():
    found = builders.hgx(numa_nodes=builders.nodes(2, 56))
    assert propose(found)[2] == "0-1,56-57,112-113,168-169"


def test_a_gpu_whose_node_is_unknown_may_be_anywhere():
    found = builders.inventory(
        devices=[builders.device("0000:41:00.0", numa_node=None)],
        gpus=[builders.gpu("0000:41:00.0")],
    )
    assert propose(found)[0] == "2-7,10-15,18-23,26-31"


def test_a_node_without_cpus_stands_for_the_nearest():
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
def test_without_cores_to_share_out_there_is_no_proposal(nodes):
    assert propose(builders.hgx(numa_nodes=nodes)) is None
