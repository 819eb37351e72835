# SPDX-License-Identifier: Apache-2.0
import dataclasses

from nova_gpu_passthrough.cloud.fit import capacity
from nova_gpu_passthrough.cloud.view.model import DeviceState, Resource
from nova_gpu_passthrough.nova_rules.refusal import Constraint
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


def test_no_gpu_of_an_empty_host_is_stranded():
    assert stranded(builders.host(FLEET, "hgx1"), ONE, TWO) == ()


def test_gpus_without_free_cpus_are_stranded():
    other = builders.server("other", 0, NODE_0[:10])
    found = stranded(builders.host(FLEET, "hgx1", servers=[other]), ONE)
    assert [gpu.address for gpu in found] == GPUS[:4]
    assert {(gpu.host, gpu.model, gpu.constraint, gpu.flavor) for gpu in found} == {
        ("hgx1", "H100-SXM", Constraint.VCPUS, "one")
    }
    assert "2 of 12 CPUs free for pinning" in found[0].detail


def test_gpus_in_use_or_reserved_are_not_stranded():
    states = dict(zip(GPUS, [DeviceState.IN_USE, DeviceState.RESERVED] * 4, strict=True))
    assert stranded(builders.host(FLEET, "hgx1", states), ONE) == ()


def test_an_odd_gpu_is_stranded_if_flavors_request_pairs():
    found = stranded(builders.host(FLEET, "hgx1", {GPUS[0]: DeviceState.IN_USE}), TWO)
    (gpu,) = found
    assert (gpu.constraint, gpu.flavor) == (Constraint.GPUS, "two")


def test_gpus_on_two_nodes_are_stranded_if_flavors_need_one_node():
    states = dict.fromkeys([*GPUS[:3], *GPUS[4:7]], DeviceState.IN_USE)
    found = stranded(builders.host(FLEET, "hgx1", states), TWO)
    assert [(gpu.address, gpu.constraint) for gpu in found] == [
        (GPUS[3], Constraint.NUMA),
        (GPUS[7], Constraint.NUMA),
    ]


def test_gpus_without_a_common_link_group_are_stranded():
    states = dict.fromkeys(GPUS[:6], DeviceState.IN_USE)
    host = builders.host(FLEET, "hgx1", states)
    apart = dataclasses.replace(
        host,
        devices=tuple(dataclasses.replace(d, link_group=(d.address,)) for d in host.devices),
    )
    assert [gpu.constraint for gpu in stranded(apart, TWO)] == [Constraint.LINK] * 2


def test_the_best_mix_of_flavors_counts():
    """With 12 CPUs, two large servers would strand a GPU, three small ones do not."""
    host = builders.host(FLEET, "hgx1", dict.fromkeys(GPUS[3:], DeviceState.IN_USE))
    large, small = builders.flavor("large", 1, 6), builders.flavor("small", 1, 4)
    assert stranded(host, large, small) == ()
    assert len(stranded(host, large)) == 1


def test_a_model_that_no_flavor_requests_is_stranded():
    found = stranded(builders.host(FLEET, "l40s1"), ONE)
    assert [(gpu.model, gpu.constraint, gpu.flavor) for gpu in found] == [
        ("L40S", Constraint.FLAVOR, None)
    ] * 3


def test_all_free_gpus_of_a_disabled_host_are_stranded():
    host = dataclasses.replace(
        builders.host(FLEET, "hgx1", {GPUS[0]: DeviceState.IN_USE}), enabled=False
    )
    found = stranded(host, ONE)
    assert [gpu.address for gpu in found] == GPUS[1:]
    assert {gpu.constraint for gpu in found} == {Constraint.HOST}


def test_reserved_companions_strand_their_gpus():
    host = builders.host(FLEET, "l40s1", {"0000:41:00.1": DeviceState.RESERVED})
    flavor = builders.flavor("lone", pci_passthrough__alias="l40s:1,l40s-audio:1")
    (gpu,) = stranded(host, flavor)
    assert gpu.constraint is Constraint.DEVICES


def test_too_little_memory_strands_gpus():
    host = builders.host(FLEET, "hgx1")
    short = host.resources | {"MEMORY_MB": Resource(16384)}
    found = stranded(dataclasses.replace(host, resources=short), ONE)
    assert [gpu.constraint for gpu in found] == [Constraint.RAM] * 6
