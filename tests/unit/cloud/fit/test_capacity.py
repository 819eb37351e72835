# SPDX-License-Identifier: Apache-2.0
import dataclasses

from nova_gpu_passthrough.cloud.fit import capacity
from nova_gpu_passthrough.cloud.fit.capacity import FlavorCapacity
from nova_gpu_passthrough.cloud.view.model import CloudFlavor, DeviceState
from nova_gpu_passthrough.fleet import flavors
from nova_gpu_passthrough.nova_rules import fill
from nova_gpu_passthrough.nova_rules.refusal import Constraint, Refusal, Stage
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
    return capacity.count(builders.view(*hosts, flavors=flavors, **changes), FLEET, names)


def servers(result):
    return {one.flavor: one.servers for one in result.flavors}


def test_numbers_of_hosts_add_up():
    hosts = [builders.host(FLEET, name) for name in ("hgx1", "hgx2", "l40s1")]
    flavors = [
        builders.flavor("one"),
        builders.flavor("two", 2, 6),
        builders.flavor("eight", 8, 24, hw__numa_nodes="2"),
        builders.flavor("lone", alias="l40s"),
    ]
    result = counted(*hosts, flavors=flavors)
    assert servers(result) == {"one": 16, "two": 8, "eight": 2, "lone": 4}
    assert result.flavors[0].by_host == {"hgx1": 8, "hgx2": 8, "l40s1": 0}
    assert result.flavors[0].hosts_with_gpus == {"hgx1", "hgx2"}
    assert all(one.exact for one in result.flavors)
    assert result.taken_at == builders.NOW


def test_used_resources_are_not_counted():
    other = builders.server("other", 0, NODE_0[:10])
    host = builders.host(FLEET, "hgx1", {GPUS[4]: DeviceState.RESERVED}, [other])
    (one,) = counted(host, flavors=[builders.flavor("one")]).flavors
    # Node 0 has CPUs for one server, node 1 has three free GPUs.
    assert one.servers == 4
    assert one.limits["hgx1"].constraint is Constraint.VCPUS
    assert one.limited_by is Constraint.VCPUS


def test_hosts_that_are_down_take_no_servers():
    host = dataclasses.replace(builders.host(FLEET, "hgx1"), up=False)
    (one,) = counted(host, flavors=[builders.flavor("one")]).flavors
    assert (one.servers, one.limits["hgx1"].detail) == (0, "nova-compute is down")


def test_a_flavor_with_an_invalid_extra_spec_fits_nowhere():
    host = builders.host(FLEET, "hgx1")
    (one,) = counted(host, flavors=[builders.flavor("one", gpu__lnk="required")]).flavors
    assert (one.servers, one.limited_by) == (0, Constraint.FLAVOR)


def test_only_named_flavors_are_counted():
    host = builders.host(FLEET, "hgx1")
    flavors = [builders.flavor("one"), builders.flavor("two", 2)]
    assert servers(counted(host, flavors=flavors, names={"two"})) == {"two": 4}


def test_equal_hosts_are_counted_once(monkeypatch):
    calls = []
    real = fill.count_fitting
    monkeypatch.setattr(fill, "count_fitting", lambda *args: calls.append(args) or real(*args))
    hosts = [
        dataclasses.replace(builders.host(FLEET, "hgx1"), name=f"hgx{number}")
        for number in range(50)
    ]
    (one,) = counted(*hosts, flavors=[builders.flavor("one")]).flavors
    assert one.servers == 400
    assert len(calls) == 1


def test_without_known_numa_nodes_numbers_are_not_exact():
    host = builders.bare(builders.host(FLEET, "hgx1"))
    (one,) = counted(host, flavors=[builders.flavor("two", 2, 2)]).flavors
    assert (one.servers, one.exact) == (4, False)
    assert one.notes[0].startswith("hgx1: the fleet has no inventory of it")


def test_notes_of_the_view_on_a_gpu_host_make_numbers_not_exact():
    hosts = builders.host(FLEET, "hgx1"), builders.host(FLEET, "l40s1")
    flavors = [builders.flavor("one"), builders.flavor("lone", alias="l40s")]
    one, lone = counted(*hosts, flavors=flavors, notes=("l40s1: 1 PCPU in Placement",)).flavors
    assert (one.exact, lone.exact) == (True, False)


def test_an_extra_spec_that_is_not_modelled_makes_numbers_not_exact():
    host = builders.host(FLEET, "hgx1")
    (one,) = counted(host, flavors=[builders.flavor("one", hw__pmem="1GB")]).flavors
    assert not one.exact
    assert one.notes == ("flavor one: extra spec hw:pmem is ignored",)


def test_without_a_fleet_nothing_is_counted():
    result = capacity.count(builders.view(builders.host(FLEET, "hgx1")), None)
    assert result.flavors == ()
    assert "--fleet" in result.notes[0]


def flavor_capacity(by_host, constraints, hosts_with_gpus=()):
    limits = {
        host: Refusal(constraint, "", Stage.PLACEMENT) for host, constraint in constraints.items()
    }
    return FlavorCapacity(
        "f",
        1,
        "M",
        sum(by_host.values()),
        by_host,
        limits,
        hosts_with_gpus=frozenset(hosts_with_gpus),
    )


def test_only_hosts_that_take_servers_are_counted():
    assert flavor_capacity({"a": 2, "b": 0, "c": 1}, {}).hosts == 2


def test_the_most_frequent_constraint_limits():
    constraints = {"a": Constraint.RAM, "b": Constraint.VCPUS, "c": Constraint.RAM}
    assert flavor_capacity({}, constraints).limited_by is Constraint.RAM


def test_constraints_of_hosts_without_such_gpus_do_not_count():
    constraints = {"a": Constraint.RAM, "b": Constraint.GPUS, "c": Constraint.GPUS}
    assert flavor_capacity({}, constraints, hosts_with_gpus="a").limited_by is Constraint.RAM


def test_without_hosts_nothing_limits():
    assert flavor_capacity({}, {}).limited_by is None


def test_as_many_servers_fit_on_an_empty_host_as_the_fleet_plans():
    plan = flavors.make(FLEET)
    created = [
        CloudFlavor(f"id-of-{one.name}", one.name, one.vcpus, one.ram_mib, 0, True, one.extra_specs)
        for one in plan.flavors
    ]
    hosts = [builders.host(FLEET, offer.host) for offer in FLEET.offers]
    counts = {one.flavor: one.by_host for one in counted(*hosts, flavors=created).flavors}
    assert counts.keys() == plan.stranded.keys()
    for name, groups in plan.stranded.items():
        planned = {host: group.servers[name] for group in groups for host in group.hosts}
        assert {host: count for host, count in counts[name].items() if count} == planned
