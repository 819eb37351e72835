# SPDX-License-Identifier: Apache-2.0
import dataclasses

from nova_gpu_passthrough.cloud.fit import capacity as count
from nova_gpu_passthrough.cloud.fit.capacity_model import Cause
from nova_gpu_passthrough.cloud.view.model import DeviceState
from nova_gpu_passthrough.nova_rules import emulate_placement
from tests.unit.cloud import builders, clouds
from tests.unit.generate import builders as inventories

#: Two nodes with 4 GPUs, 8 cores of 2 threads (12 CPUs for pinning) and 256 GiB each.
FLEET = clouds.fleet(
    inventories.hgx("hgx1"),
    inventories.hgx("hgx2"),
    inventories.l40s("l40s1"),
    inventories.hgx("x"),
)
#: Its CPUs for pinning.
NODE_0 = [*range(2, 8), *range(18, 24)]
GPUS = [f"0000:{bus:02x}:00.0" for bus in range(0x20, 0x28)]


def counted(*hosts, flavors, names=None, **changes):
    return count.count(builders.view(*hosts, flavors=flavors, **changes), FLEET, names)


def servers(capacity):
    return {one.flavor: one.servers for one in capacity.flavors}


def test_numbers_of_hosts_add_up():
    hosts = [builders.host(FLEET, name) for name in ("hgx1", "hgx2", "l40s1")]
    flavors = [
        builders.flavor("one"),
        builders.flavor("two", 2, 6),
        builders.flavor("eight", 8, 24, hw__numa_nodes="2"),
        builders.flavor("lone", alias="l40s"),
    ]
    capacity = counted(*hosts, flavors=flavors)
    assert servers(capacity) == {"one": 16, "two": 8, "eight": 2, "lone": 4}
    assert capacity.flavors[0].by_host == {"hgx1": 8, "hgx2": 8, "l40s1": 0}
    assert capacity.flavors[0].having == {"hgx1", "hgx2"}
    assert all(one.exact for one in capacity.flavors)
    assert capacity.taken_at == builders.NOW


def test_what_servers_have_is_not_counted_twice():
    other = builders.server("other", 0, NODE_0[:10])
    host = builders.host(FLEET, "hgx1", {GPUS[4]: DeviceState.RESERVED}, [other])
    (one,) = counted(host, flavors=[builders.flavor("one")]).flavors
    # Node 0 has CPUs for one server, node 1 has three GPUs.
    assert one.servers == 4
    assert one.limits["hgx1"].cause is Cause.VCPUS
    assert one.limited_by is Cause.VCPUS


def test_closed_hosts_take_none():
    host = dataclasses.replace(builders.host(FLEET, "hgx1"), up=False)
    (one,) = counted(host, flavors=[builders.flavor("one")]).flavors
    assert (one.servers, one.limits["hgx1"].detail) == (0, "nova-compute is down")


def test_a_flavor_with_an_unknown_wish_fits_nowhere():
    host = builders.host(FLEET, "hgx1")
    (one,) = counted(host, flavors=[builders.flavor("one", gpu__lnk="required")]).flavors
    assert (one.servers, one.limited_by) == (0, Cause.FLAVOR)


def test_named_flavors_alone_are_counted():
    host = builders.host(FLEET, "hgx1")
    flavors = [builders.flavor("one"), builders.flavor("two", 2)]
    assert servers(counted(host, flavors=flavors, names={"two"})) == {"two": 4}


def test_like_hosts_are_counted_once(monkeypatch):
    asked = []
    real = emulate_placement.count
    monkeypatch.setattr(emulate_placement, "count", lambda *args: asked.append(args) or real(*args))
    hosts = [
        dataclasses.replace(builders.host(FLEET, "hgx1"), name=f"hgx{number}")
        for number in range(50)
    ]
    (one,) = counted(*hosts, flavors=[builders.flavor("one")]).flavors
    assert one.servers == 400
    assert len(asked) == 1


def test_without_numa_nodes_numbers_are_not_exact():
    host = builders.bare(builders.host(FLEET, "hgx1"))
    (one,) = counted(host, flavors=[builders.flavor("two", 2, 2)]).flavors
    assert (one.servers, one.exact) == (4, False)
    assert one.notes[0].startswith("hgx1: no inventory")


def test_nor_where_the_view_is_in_doubt_about_a_host_with_such_gpus():
    hosts = builders.host(FLEET, "hgx1"), builders.host(FLEET, "l40s1")
    flavors = [builders.flavor("one"), builders.flavor("lone", alias="l40s")]
    one, lone = counted(*hosts, flavors=flavors, notes=("l40s1: 1 PCPU in Placement",)).flavors
    assert (one.exact, lone.exact) == (True, False)


def test_nor_with_an_extra_spec_that_is_not_looked_at():
    host = builders.host(FLEET, "hgx1")
    (one,) = counted(host, flavors=[builders.flavor("one", hw__pmem="1GB")]).flavors
    assert not one.exact
    assert one.notes == ("flavor one: extra spec hw:pmem is not looked at",)


def test_without_a_fleet_nothing_is_counted():
    capacity = count.count(builders.view(builders.host(FLEET, "hgx1")), None)
    assert capacity.flavors == ()
    assert "--fleet" in capacity.notes[0]
