# SPDX-License-Identifier: Apache-2.0
"""Servers with GPUs, counted by request class."""

import dataclasses

from nova_gpu_passthrough.cloud.fit import server_mix
from nova_gpu_passthrough.cloud.view.model import CloudView
from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass
from tests.unit.cloud import builders, clouds
from tests.unit.generate import builders as inventories

FLEET = clouds.fleet(inventories.hgx("hgx1"), inventories.l40s("l40s1"))
ONE = builders.flavor("one", 1, vcpus=8, ram=4096)
EIGHT = builders.flavor("eight", 8, vcpus=48, ram=65536, hw__numa_nodes="2", gpu__link="required")
FLOATING = builders.flavor(
    "floating",
    2,
    alias="l40s",
    hw__cpu_policy=None,
    hw__numa_nodes=None,
    hw__pci_numa_affinity_policy=None,
)


def server(flavor, number=0, image=None, **changes):
    made = builders.server(f"{flavor.name}-{number}", cpus=range(flavor.vcpus), of=flavor.name)
    return dataclasses.replace(
        made,
        ram_mib=flavor.ram_mib,
        extra_specs=flavor.extra_specs,
        image_properties={} if image is None else image,
        **changes,
    )


def count(*servers, flavors=(ONE, EIGHT, FLOATING)):
    half = len(servers) // 2
    hosts = (
        builders.host(FLEET, "hgx1", servers=servers[:half]),
        builders.host(FLEET, "l40s1", servers=servers[half:]),
    )
    return server_mix.count(CloudView("now", hosts, tuple(flavors)), FLEET)


def test_servers_are_counted_by_request_class():
    counts, notes = count(server(ONE), server(EIGHT), server(ONE, 2), server(FLOATING))
    assert notes == []
    assert counts == {
        RequestClass("one", 1, "H100-SXM", 0, 8, 4096, 10, 1, GpuLocality.LOCAL): 2,
        RequestClass("eight", 8, "H100-SXM", 0, 48, 65536, 10, 2, GpuLocality.LOCAL, True): 1,
        RequestClass("floating", 2, "L40S", 2, 0, 8192, 10): 1,
    }


def test_flavors_with_the_same_request_are_one_class():
    other = dataclasses.replace(ONE, name="other", id="id-of-other")
    counts, _ = count(server(ONE), server(other), flavors=(ONE, other))
    assert list(counts.values()) == [2]


def test_servers_without_gpus_are_not_counted():
    plain = builders.flavor("plain", 0)
    audio = builders.flavor("audio", alias="l40s-audio")
    assert count(server(plain), server(audio), flavors=(plain, audio)) == ({}, [])


def test_a_volume_uses_no_disk_of_the_host():
    volume = dataclasses.replace(server(ONE), image_properties=None)
    counts, _ = count(volume)
    assert [one.disk_gib for one in counts] == [0]


def test_servers_of_a_deleted_flavor_are_counted_without_disk():
    counts, notes = count(server(ONE), flavors=())
    assert [one.disk_gib for one in counts] == [0]
    assert notes == [
        "flavor one was deleted: the disk of its servers is not known and is not counted"
    ]


def test_servers_that_nova_would_refuse_now_are_left_out_with_a_note():
    odd = builders.flavor("odd", hw__cpu_policy="shard")
    counts, (note,) = count(server(odd), server(odd, 2), flavors=(odd,))
    assert counts == {}
    assert note.startswith("servers of flavor odd are left out: hw:cpu_policy is 'shard'")
