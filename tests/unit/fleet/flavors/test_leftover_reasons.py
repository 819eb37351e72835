# SPDX-License-Identifier: Apache-2.0
"""The reasons for which a full host has resources left."""

import pytest

from nova_gpu_passthrough.fleet import flavors
from nova_gpu_passthrough.fleet.model import FlavorRule
from tests.unit.fleet.flavors.test_shares import host
from tests.unit.generate import builders
from tests.unit.generate.fleets import resolved


def left(found, **keys):
    """Return what servers of a flavor leave of the host, and the reasons."""
    rule = FlavorRule("H100-SXM", **keys)
    plan = flavors.make(resolved(found, flavors=(rule,)))
    assert not plan.refused
    ((one,),) = plan.stranded.values()
    return one.left, one.reasons


def test_the_number_of_gpus_is_not_a_multiple():
    found, reasons = left(host((3,)), counts=(2,))
    assert found.gpus == 1
    assert reasons[:2] == (
        "the number of GPUs, 3, is not a multiple of 2",
        "1 unused GPUs keep their share",
    )


def test_the_numa_nodes_have_unequal_numbers_of_gpus():
    found, reasons = left(host((3, 5)), counts=(4,))
    assert found.gpus == 4
    assert reasons[0] == "the NUMA nodes have 3 and 5 GPUs, and a server needs 4 on 1 NUMA nodes"


def test_the_link_groups_are_too_small():
    devices = [builders.device(f"0000:{0x20 + n:02x}:00.0") for n in range(6)]
    gpus = [
        builders.gpu(device.address, link_group=(f"bridge{n // 3}",))
        for n, device in enumerate(devices)
    ]
    found, reasons = left(builders.inventory("h", devices, gpus), counts=(2,))
    assert found.gpus == 2
    assert reasons[0] == "link groups have 3 and 3 GPUs, and a server needs 2 of one group"


@pytest.mark.parametrize(
    "keys, reason",
    [
        ({"vcpus_per_gpu": 8}, "the CPUs are used up first"),
        ({"ram_mib_per_gpu": 120 * 1024}, "the memory is used up first"),
    ],
)
def test_fixed_sizes_use_up_the_host(keys, reason):
    found, reasons = left(host((4,)), counts=(1,), **keys)
    assert found.gpus
    assert reasons[0] == reason


def test_fixed_sizes_are_less_than_the_share():
    _, reasons = left(host((4,)), counts=(4,), vcpus_per_gpu=1, ram_mib_per_gpu=1024)
    assert reasons == ("vcpus_per_gpu is 1", "ram_mib_per_gpu is 1024")


def test_the_nodes_are_unequal():
    first, second = builders.nodes(cores=12)
    first = builders.dataclasses.replace(first, cores=first.cores[:8], cpus="0-7,24-31")
    _, reasons = left(host((4, 4), numa_nodes=(first, second)), counts=(4,))
    unequal = "the NUMA nodes are unequal in CPUs: 12 for 4 GPUs on node 0, 20 for 4 GPUs on node 1"
    assert unequal in reasons


def test_a_node_without_gpus_has_memory():
    _, reasons = left(host((4, 0)), counts=(4,))
    assert "node 1 has no GPU, its memory is for other servers" in reasons


def test_gpus_of_another_model_keep_their_share():
    found = host((4,))
    last = found.gpus[-1]
    gpus = (*found.gpus[:-1], builders.gpu(last.address, "L40S"))
    found = builders.changed(found, last.address, product_id="26b9")
    _, reasons = left(builders.dataclasses.replace(found, gpus=gpus), counts=(3,))
    assert "1 other GPUs (L40S) keep their share" in reasons
