# SPDX-License-Identifier: Apache-2.0
"""Users without the role admin, to whom policies permit a part of what is read."""

import uuid

import pytest
from openstack import exceptions

from nova_gpu_passthrough.cloud.view import read
from nova_gpu_passthrough.cloud.view.model import DeviceState
from nova_gpu_passthrough.cloud.view.reader import Restricted
from tests.unit.cloud import clouds
from tests.unit.generate import builders

GPUS = tuple(f"0000:{bus:02x}:00.0" for bus in range(0x20, 0x28))
FLAVORS = f"without role admin, {Restricted.FLAVORS_OF_FLEET.value}"
FORBIDDEN = {"forbidden": {"code": 403, "message": "no"}}
CELL = {"vcpu_set": [0], "memory_mb": 512, "host_node": 0, "cpu_pinning": {"0": 2}, "siblings": []}


@pytest.fixture
def hgx():
    return clouds.fleet(builders.hgx("hgx1"))


@pytest.fixture
def flavor(cloud):
    return cloud.nova.add_flavor(
        "gpu.1", 1, 512, pci_passthrough__alias="h100-sxm:1", hw__numa_nodes=1
    )


@pytest.fixture
def server(cloud, hgx, flavor):
    """A server of another project that has a GPU, on a host that pins CPUs for it."""
    providers = clouds.run_computes(cloud, hgx)
    return clouds.boot(cloud, providers, "hgx1", GPUS[:1], flavor, "train", [CELL])


@pytest.fixture
def view(cloud, hgx, server):
    """Read the view as a user without the role admin."""

    def read_view(resolved=hgx):
        return read.read(cloud.connection("alice"), resolved)

    return read_view


def forbid(cloud, pattern):
    cloud.fail(pattern, 403, FORBIDDEN)


def notes(view):
    return [note for note in view.notes if note != FLAVORS]


def note(what):
    return f"without role admin, {what.value}"


@pytest.mark.parametrize("path", ["os-services", "os-hypervisors", "resource_providers"])
def test_without_hosts_there_is_no_view(cloud, view, path):
    forbid(cloud, f"GET .*{path}")
    with pytest.raises(exceptions.ForbiddenException):
        view()


def test_whoever_may_read_everything_gets_what_administrators_get(cloud, hgx, view):
    of_admin = read.read(cloud.connection(), hgx)
    assert of_admin.notes == ()
    of_alice = view()
    assert of_alice.hosts == of_admin.hosts
    assert [one for one in of_alice.flavors if one.id] == list(of_admin.flavors)
    assert notes(of_alice) == []


def test_aggregates(cloud, view):
    forbid(cloud, "GET .*os-aggregates")
    assert notes(view()) == [note(Restricted.AGGREGATES)]
    assert view().hosts[0].aggregates == {}


def test_servers(cloud, view):
    forbid(cloud, "GET .*all_tenants")
    found = view()
    (host,) = found.hosts
    assert notes(found) == [note(Restricted.SERVERS)]
    assert (host.servers, host.numa) == ((), ())
    first = host.gpus[0]
    assert (first.state, first.numa_node) == (DeviceState.IN_USE, 0)
    # What is stuck can only be found by comparison with servers.
    assert not cloud.requested(f"GET .*servers/{host.gpus[0].consumers[0]}")


def test_servers_do_not_matter_on_an_empty_host(cloud, view, server):
    cloud.placement.call("DELETE", f"/allocations/{server['id']}")
    forbid(cloud, "GET .*all_tenants")
    assert view().hosts[0].numa


def test_a_host_of_servers_that_is_hidden(cloud, view, server):
    body = {key: value for key, value in server.items() if key != "OS-EXT-SRV-ATTR:host"}
    cloud.fail("GET .*servers/detail.*host=hgx1", 200, {"servers": [body]})
    found = view()
    assert notes(found) == [note(Restricted.SERVERS)]
    assert found.hosts[0].servers == ()


def test_a_filter_that_nova_ignores(cloud, hgx, view, server, flavor):
    # As for users that may not use all filters.
    cloud.nova.add_server("elsewhere", "hgx2", flavor)
    everything = {"servers": list(cloud.nova.servers.values())}
    cloud.fail("GET .*servers/detail.*host=hgx1", 200, everything)
    assert [one.name for one in view().hosts[0].servers] == ["train"]


@pytest.mark.parametrize("status", [403, 404])
def test_topologies_of_other_projects(cloud, view, status):
    cloud.fail("GET .*/topology", status, FORBIDDEN)
    found = view()
    assert notes(found) == [note(Restricted.TOPOLOGIES)]
    assert found.hosts[0].numa == ()
    assert found.hosts[0].gpus[0].numa_node == 0


def test_the_topology_of_a_deleted_server_of_the_own_project(cloud, view, server):
    server["tenant_id"] = "id-admin"
    cloud.fail("GET .*/topology", 404, FORBIDDEN)
    found = view()
    assert notes(found) == []
    assert found.hosts[0].numa


def test_host_nodes_of_a_topology(cloud, view, server):
    cell = {key: value for key, value in CELL.items() if key not in ("host_node", "cpu_pinning")}
    cloud.nova.topologies[server["id"]]["nodes"] = [cell]
    found = view()
    assert notes(found) == [note(Restricted.TOPOLOGIES)]
    assert found.hosts[0].numa == ()


def test_a_server_that_nova_shows_only_in_lists_is_not_stuck(cloud, view, server):
    # On its way to another host.
    server |= {"OS-EXT-SRV-ATTR:host": "hgx2", "status": "RESIZE"}
    cloud.fail(f"GET .*servers/{server['id']}$", 404, FORBIDDEN)
    assert view().hosts[0].gpus[0].state is DeviceState.IN_USE
    server["status"] = "ACTIVE"
    assert view().hosts[0].gpus[0].state is DeviceState.STUCK


def test_migrations(cloud, hgx, view, server):
    migration = str(uuid.uuid4())
    providers = {
        provider["name"]: provider["uuid"]
        for provider in cloud.placement.call("GET", "/resource_providers")["resource_providers"]
    }
    second = providers[f"hgx1_{GPUS[1].upper()}"]
    cloud.placement.allocate(migration, {second: {"CUSTOM_GPU_H100_SXM": 1}}, kind="MIGRATION")
    assert view().hosts[0].gpus[1].state is DeviceState.STUCK
    forbid(cloud, "GET .*os-migrations")
    found = view()
    assert notes(found)[0] == note(Restricted.MIGRATIONS)
    assert found.hosts[0].gpus[1].state is DeviceState.IN_USE


def test_access_to_flavors(cloud, view):
    cloud.nova.add_flavor("private", public=False, access=["p1"])
    forbid(cloud, "GET .*os-flavor-access")
    found = view()
    assert notes(found) == [note(Restricted.FLAVOR_ACCESS)]
    assert [one.projects for one in found.flavors if one.name == "private"] == [()]


def test_private_flavors_come_from_the_fleet_file(cloud, hgx, view):
    found = view()
    assert [one.name for one in found.flavors if one.name.startswith("gpu.h100")] == [
        f"gpu.h100-sxm.{count}" for count in (1, 2, 4, 8)
    ]
    without = view(None)
    assert without.notes == (note(Restricted.FLAVORS),)
    assert [one.name for one in without.flavors] == ["gpu.1"]
