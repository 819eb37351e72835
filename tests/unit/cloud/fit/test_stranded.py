# SPDX-License-Identifier: Apache-2.0
import dataclasses

from nova_gpu_passthrough.cloud.fit import capacity
from nova_gpu_passthrough.cloud.fit.capacity_model import Cause
from nova_gpu_passthrough.cloud.view.model import DeviceState, Resource
from tests.unit.cloud import builders, clouds
from tests.unit.generate import builders as inventories

#: Two nodes with 4 GPUs, 8 cores of 2 threads (12 CPUs for pinning) and 256 GiB each.
FLEET = clouds.fleet(inventories.hgx("hgx1"), inventories.l40s("l40s1", 3))
#: Its CPUs for pinning.
NODE_0 = [*range(2, 8), *range(18, 24)]
GPUS = [f"0000:{bus:02x}:00.0" for bus in range(0x20, 0x28)]
ONE, TWO = builders.flavor("one", 1, 3), builders.flavor("two", 2, 6, gpu__link="required")


def stranded(host, *flavors):
    view = builders.view(host, flavors=flavors)
    return capacity.count(view, FLEET).stranded


def test_nothing_is_stranded_on_an_empty_host():
    assert stranded(builders.host(FLEET, "hgx1"), ONE, TWO) == ()


def test_gpus_without_cpus_are():
    other = builders.server("other", 0, NODE_0[:10])
    found = stranded(builders.host(FLEET, "hgx1", servers=[other]), ONE)
    assert [gpu.address for gpu in found] == GPUS[:4]
    assert {(gpu.host, gpu.model, gpu.cause, gpu.flavor) for gpu in found} == {
        ("hgx1", "H100-SXM", Cause.VCPUS, "one")
    }
    assert "2 of 12 CPUs free for pinning" in found[0].detail


def test_gpus_that_are_in_use_or_held_back_are_not():
    states = dict(zip(GPUS, [DeviceState.IN_USE, DeviceState.RESERVED] * 4, strict=True))
    assert stranded(builders.host(FLEET, "hgx1", states), ONE) == ()


def test_the_odd_one_is_where_flavors_are_even():
    found = stranded(builders.host(FLEET, "hgx1", {GPUS[0]: DeviceState.IN_USE}), TWO)
    (gpu,) = found
    assert (gpu.cause, gpu.flavor) == (Cause.GPUS, "two")


def test_gpus_on_two_nodes_are_for_a_flavor_of_one():
    states = dict.fromkeys([*GPUS[:3], *GPUS[4:7]], DeviceState.IN_USE)
    found = stranded(builders.host(FLEET, "hgx1", states), TWO)
    assert [(gpu.address, gpu.cause) for gpu in found] == [
        (GPUS[3], Cause.NUMA),
        (GPUS[7], Cause.NUMA),
    ]


def test_gpus_without_a_common_link_are():
    states = dict.fromkeys(GPUS[:6], DeviceState.IN_USE)
    host = builders.host(FLEET, "hgx1", states)
    apart = dataclasses.replace(
        host,
        devices=tuple(dataclasses.replace(d, link_group=(d.address,)) for d in host.devices),
    )
    assert [gpu.cause for gpu in stranded(apart, TWO)] == [Cause.LINK] * 2


def test_the_best_mix_of_flavors_counts():
    """Of 12 CPUs, two large servers and none of the small would leave a GPU; three small none."""
    host = builders.host(FLEET, "hgx1", dict.fromkeys(GPUS[3:], DeviceState.IN_USE))
    large, small = builders.flavor("large", 1, 6), builders.flavor("small", 1, 4)
    assert stranded(host, large, small) == ()
    assert len(stranded(host, large)) == 1


def test_a_model_of_which_no_flavor_is():
    found = stranded(builders.host(FLEET, "l40s1"), ONE)
    assert [(gpu.model, gpu.cause, gpu.flavor) for gpu in found] == [
        ("L40S", Cause.FLAVOR, None)
    ] * 3


def test_all_free_gpus_of_a_closed_host_are():
    host = dataclasses.replace(
        builders.host(FLEET, "hgx1", {GPUS[0]: DeviceState.IN_USE}), enabled=False
    )
    found = stranded(host, ONE)
    assert [gpu.address for gpu in found] == GPUS[1:]
    assert {gpu.cause for gpu in found} == {Cause.HOST}


def test_companions_that_are_gone_strand_their_gpus():
    host = builders.host(FLEET, "l40s1", {"0000:41:00.1": DeviceState.RESERVED})
    flavor = builders.flavor("lone", pci_passthrough__alias="l40s:1,l40s-audio:1")
    (gpu,) = stranded(host, flavor)
    assert gpu.cause is Cause.DEVICES


def test_memory_that_others_have_strands_gpus():
    host = builders.host(FLEET, "hgx1")
    short = host.resources | {"MEMORY_MB": Resource(16384)}
    found = stranded(dataclasses.replace(host, resources=short), ONE)
    assert [gpu.cause for gpu in found] == [Cause.RAM] * 6
