# SPDX-License-Identifier: Apache-2.0
"""What remains if a rack or another failure domain fails."""

import dataclasses

import pytest

from nova_gpu_passthrough.cloud.fit import capacity, domain_loss
from nova_gpu_passthrough.cloud.fit.domain_loss import DomainLoss
from nova_gpu_passthrough.errors import UserError
from tests.unit.cloud import builders, clouds
from tests.unit.generate import builders as inventories

NAMES = ("hgx1", "hgx2", "hgx3")
FLEET = clouds.fleet(*map(inventories.hgx, NAMES))
GPUS = [f"0000:{bus:02x}:00.0" for bus in range(0x20, 0x28)]
DOMAINS = {
    "hgx1": {"rack": "r1", "room": "a"},
    "hgx2": {"rack": "r1", "room": "b"},
    "hgx3": {"rack": "r2", "room": "b"},
}
PINNED = {
    "hw:cpu_policy": "dedicated",
    "hw:numa_nodes": "1",
    "hw:pci_numa_affinity_policy": "required",
}


def gpu_server(name, count, first, host="hgx1"):
    """A server with GPUs and as many CPUs of node 0, and the addresses of its GPUs."""
    server = builders.server(
        name, 0, range(2 + first, 2 + first + count), host=host, of=f"f{count}"
    )
    specs = {**PINNED, "pci_passthrough:alias": f"h100-sxm:{count}"}
    return dataclasses.replace(server, extra_specs=specs), GPUS[first : first + count]


def host(name, *placed):
    owners = {address: server.id for server, addresses in placed for address in addresses}
    built = builders.host(
        FLEET, name, servers=[server for server, _ in placed], device_owners=owners
    )
    return dataclasses.replace(built, domains=DOMAINS[name])


def counted(view, *flavors):
    view = dataclasses.replace(view, flavors=flavors or (builders.flavor("one"),))
    return capacity.count(view, FLEET).flavors


def test_the_domain_that_costs_most_is_first():
    view = builders.view(*map(host, NAMES))
    (one,) = counted(view)
    assert domain_loss.losses(one, view.hosts, "rack") == [
        DomainLoss("rack r1", 2, 16, 8),
        DomainLoss("rack r2", 1, 8, 16),
    ]
    assert domain_loss.losses(one, view.hosts, "host") == [
        DomainLoss(f"host {name}", 1, 8, 16) for name in NAMES
    ]


def test_a_host_without_domain_never_fails():
    bare = dataclasses.replace(host("hgx3"), domains={})
    view = builders.view(host("hgx1"), bare)
    (one,) = counted(view)
    assert domain_loss.losses(one, view.hosts, "rack") == [DomainLoss("rack r1", 1, 8, 8)]


def test_levels_are_those_of_the_fleet_file_and_hosts():
    view = builders.view(*map(host, NAMES))
    assert domain_loss.levels(view) == ["rack", "room", "host"]
    domain_loss.check_level(view, "room")
    with pytest.raises(UserError) as error:
        domain_loss.check_level(view, "rak")
    assert str(error.value) == (
        "--by-domain rak: no host has a rak in the fleet file, expected one of: rack, room, host; "
        "did you mean rack?"
    )


def test_hosts_of_a_domain():
    view = builders.view(*map(host, NAMES))
    assert domain_loss.find(view, ["rack=r1", "host=hgx3"]) == {
        "rack r1": ("hgx1", "hgx2"),
        "host hgx3": ("hgx3",),
    }
    for word, words in (
        ("r1", "expected LEVEL=NAME, such as rack=r1"),
        ("rack=", "expected LEVEL=NAME"),
        ("host=hgx", "no host is in host hgx, expected hgx1, hgx2, hgx3; did you mean hgx3?"),
        ("rack=r3", "no host is in rack r3, expected r1, r2"),
        ("row=1", "no host is in row 1, expected a level of the fleet file: rack, room, host"),
    ):
        with pytest.raises(UserError) as error:
            domain_loss.find(view, [word])
        assert words in str(error.value)


def test_servers_that_all_fit_in_one_domain_are_a_warning():
    full = host("hgx3", gpu_server("a", 4, 0, "hgx3"))
    full = dataclasses.replace(full, enabled=False)
    view = builders.view(host("hgx1"), host("hgx2"), full)
    flavors = counted(view)
    assert list(domain_loss.warnings(flavors, view.hosts, "rack")) == [
        (
            "flavor one: all 16 servers that fit are in rack r1, so a server group of policy "
            "anti-affinity would fail with it"
        )
    ]
    assert list(domain_loss.warnings(flavors, view.hosts, "room")) == []


def test_servers_of_a_failed_domain_restart_elsewhere_the_largest_first():
    view = builders.view(
        host("hgx1", gpu_server("small", 1, 0), gpu_server("large", 3, 1)),
        host("hgx2"),
        host("hgx3", gpu_server("other", 4, 0, "hgx3")),
    )
    restart = domain_loss.restart(view, FLEET, "rack r1", {"hgx1", "hgx2"})
    assert [server.name for server in restart.servers] == ["large", "small"]
    assert restart.fitting == restart.servers
    assert str(restart) == "rack r1: 2 of 2 servers with GPUs would fit on the other hosts"


def test_servers_that_do_not_fit_elsewhere_are_named():
    view = builders.view(
        host("hgx1", gpu_server("small", 1, 0), gpu_server("large", 3, 1)),
        # Two GPUs and their node's CPUs are free: none for the large server.
        host(
            "hgx3",
            gpu_server("a", 4, 0, "hgx3"),
        ),
    )
    blocked = dataclasses.replace(view.hosts[1], devices=view.hosts[1].devices[:6])
    view = dataclasses.replace(view, hosts=(view.hosts[0], blocked))
    restart = domain_loss.restart(view, FLEET, "host hgx1", {"hgx1"})
    assert str(restart) == (
        "host hgx1: 1 of 2 servers with GPUs would fit on the other hosts, without large (f3)"
    )


def test_a_restart_obeys_the_filters():
    reserved = dataclasses.replace(host("hgx3"), aggregates={"ml": {"filter_tenant_id": "someone"}})
    view = builders.view(host("hgx1", gpu_server("small", 1, 0)), reserved)
    settings = dataclasses.replace(
        FLEET.settings, enabled_filters=("AggregateMultiTenancyIsolation",)
    )
    fleet = dataclasses.replace(FLEET, settings=settings)
    assert domain_loss.restart(view, FLEET, "x", {"hgx1"}).fitting
    assert not domain_loss.restart(view, fleet, "x", {"hgx1"}).fitting


def test_a_failed_domain_without_servers_is_no_fraction():
    restart = domain_loss.restart(builders.view(host("hgx1")), FLEET, "host hgx1", {"hgx1"})
    assert str(restart) == "host hgx1: no servers with GPUs are there"
