# SPDX-License-Identifier: Apache-2.0
"""host list and device list on a real control plane, compared with Nova's database."""

import contextlib
import json
import subprocess
import uuid

import pytest

from nova_gpu_passthrough.cloud.view import read
from nova_gpu_passthrough.fleet import resolve, store
from tests.cloud import servers

_FLEET = """\
schema: nova-gpu-passthrough/fleet
version: 1
name: view
groups: [{{name: all, inventories: [{inventories}]}}]
"""
_CLASS = "CUSTOM_GPU_H100_SXM"
_VERSION = {"microversion": "1.39"}
_FLAVOR = {
    "pci_passthrough:alias": "h100-sxm:2",
    "hw:cpu_policy": "dedicated",
    "hw:numa_nodes": "1",
    "hw:pci_numa_affinity_policy": "required",
    "hw:mem_page_size": "small",
    "hw:maxphysaddr_mode": "passthrough",
}


@pytest.fixture(scope="module")
def fleet_file(plane, tmp_path_factory):
    file = tmp_path_factory.mktemp("fleet") / "fleet.yaml"
    paths = [path for path in plane.inventories if path.stem.startswith("gpu")]
    file.write_text(_FLEET.format(inventories=", ".join(map(str, paths))))
    return file


@pytest.fixture(scope="module")
def admin(plane):
    with plane.connection("admin") as connection:
        yield connection


@pytest.fixture(scope="module")
def pair(plane, admin):
    """Boot a tenant's server with two GPUs."""
    with (
        servers.flavor(admin, "view-h100-2", 14, 128000, _FLAVOR) as flavor,
        plane.connection("tenant") as tenant,
        servers.server(tenant, flavor, "view-pair") as server,
    ):
        assert server.status == "ACTIVE"
        yield server


def run(plane, program, *words, cloud="admin"):
    """Run one of the two programs; return exit status, standard output, standard error."""
    start = ["nova-gpu"] if program == "nova-gpu" else ["openstack", "gpu"]
    done = subprocess.run(
        [*start, *map(str, words)], env=plane.environment(cloud), capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


def listed(plane, *words, program="nova-gpu"):
    status, out, err = run(plane, program, *words, "--long", "-f", "json")
    assert (status, err) == (0, "")
    return json.loads(out)


def gpu_hosts(fleet_file):
    resolved = resolve.resolve(store.load(fleet_file))
    return {name: found for name, found in resolved.inventories.items() if found.gpus}


@pytest.mark.parametrize("program", ["nova-gpu", "openstack"])
def test_all_gpu_hosts_are_listed(plane, fleet_file, program):
    rows = listed(plane, "host", "list", "--fleet", fleet_file, program=program)
    hosts = gpu_hosts(fleet_file)
    assert [row["Host"] for row in rows] == sorted(hosts)
    for row in rows:
        assert (row["Group"], row["State"]) == ("all", "up")
        assert row["GPUs"] == len(hosts[row["Host"]].gpus)
        assert row["Missing"] == row["Stuck"] == row["Reserved"] == 0


def test_gpus_are_those_of_the_inventories(plane, fleet_file):
    found = {
        (row["Host"], row["Address"]): (row["Model"], row["NUMA Node"], row["Link Group"])
        for row in listed(plane, "device", "list", "--fleet", fleet_file)
    }
    assert found == {
        (name, gpu.address): (
            gpu.model,
            inventory.device(gpu).numa_node,
            list(gpu.link_group),
        )
        for name, inventory in gpu_hosts(fleet_file).items()
        for gpu in inventory.gpus
    }


def test_who_has_which_gpu_is_what_nova_s_database_says(plane, admin, fleet_file, pair):
    rows = listed(plane, "device", "list", "--server", "view-*", "--fleet", fleet_file)
    with plane.database("nova") as cursor:
        cursor.execute(
            "SELECT n.hypervisor_hostname, d.address, d.numa_node FROM pci_devices d "
            "JOIN compute_nodes n ON n.id = d.compute_node_id "
            "WHERE d.instance_uuid = %s AND d.status = 'allocated' AND d.deleted = 0",
            (pair.id,),
        )
        expected = sorted(tuple(row) for row in cursor.fetchall())
    assert len(expected) == 2
    assert sorted((row["Host"], row["Address"], row["NUMA Node"]) for row in rows) == expected
    for row in rows:
        assert (row["State"], row["Server"], row["Server ID"]) == (
            "in-use",
            ["view-pair"],
            [pair.id],
        )
        assert row["Note"] == ""


def test_what_a_guest_takes_of_its_numa_node(plane, admin, fleet_file, pair):
    resolved = resolve.resolve(store.load(fleet_file))
    view = read.read(admin, resolved)
    assert view.notes == ()
    (host,) = [host for host in view.hosts if pair.id in {s.id for s in host.servers}]
    (server,) = [server for server in host.servers if server.id == pair.id]
    (use,) = server.cells
    assert (use.memory_mib, use.vcpus, use.page_size_kib) == (128000, 14, 4)
    assert len(use.pinned) == 14
    allocated = {gpu.numa_node for gpu in host.gpus if pair.id in gpu.consumers}
    assert allocated == {use.node}
    others = [other for other in view.hosts if not other.servers]
    for name in ("PCPU", "MEMORY_MB"):
        assert host.resources[name].used == sum(
            allocation["resources"].get(name, 0)
            for allocation in admin.placement.get(f"/allocations/{pair.id}", **_VERSION)
            .json()["allocations"]
            .values()
        )
    empty, cell = ({cell.id: cell for cell in one.numa}[use.node] for one in (others[0], host))
    assert len(cell.free_pinned) == len(empty.free_pinned) - 14
    free, all_free = (one.as_numa_cell().free_memory_mib for one in (cell, empty))
    assert free == all_free - 128000
    assert not cell.free_pinned & use.pinned


@contextlib.contextmanager
def broken(admin, host):
    """Allocate one GPU of a host to no server, reserve another; return their addresses."""
    placement = admin.placement
    every = placement.get("/resource_providers", **_VERSION).json()["resource_providers"]
    gpus = sorted(
        (provider["name"], provider["uuid"])
        for provider in every
        if provider["name"].startswith(f"{host}_")
    )[-2:]
    (stuck_name, stuck), (kept_name, kept) = gpus
    nobody, url = str(uuid.uuid4()), f"/resource_providers/{kept}/inventories/{_CLASS}"

    def reserve(count):
        inventory = placement.get(url, **_VERSION).json() | {"reserved": count}
        assert placement.put(url, json=inventory, **_VERSION).status_code == 200

    body = {
        "allocations": {stuck: {"resources": {_CLASS: 1}}},
        "project_id": "none",
        "user_id": "none",
        "consumer_generation": None,
        "consumer_type": "INSTANCE",
    }
    assert placement.put(f"/allocations/{nobody}", json=body, **_VERSION).status_code == 204
    reserve(1)
    try:
        yield nobody, [name.rpartition("_")[2].lower() for name in (stuck_name, kept_name)]
    finally:
        reserve(0)
        placement.delete(f"/allocations/{nobody}", **_VERSION)


def test_stuck_and_reserved_gpus(plane, admin):
    with broken(admin, "gpu02") as (nobody, (stuck, kept)):
        rows = listed(plane, "device", "list", "--state", "stuck", "--state", "reserved")
        assert [(row["Host"], row["Address"], row["State"]) for row in rows] == [
            ("gpu02", stuck, "stuck"),
            ("gpu02", kept, "reserved"),
        ]
        assert f"allocated to {nobody}, a server that no longer exists" in rows[0]["Note"]
        assert "reserved by hand" in rows[1]["Note"]


@pytest.mark.parametrize(
    ("program", "cloud"), [("nova-gpu", "tenant"), ("openstack", "tenant"), ("nova-gpu", "reader")]
)
def test_who_is_no_administrator_is_told_so(plane, program, cloud):
    status, out, err = run(plane, program, "host", "list", cloud=cloud)
    assert (status, out) == (2, "")
    assert f"needs role admin; user {cloud} has only reader" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--os-password", "not-it"), "does not authenticate user admin"),
        (("--os-region-name", "Mars"), "cloud admin has no region 'Mars'"),
        (("--os-auth-url", "http://127.0.0.1:1/v3"), "cannot be reached: Connection refused"),
    ],
)
def test_a_cloud_that_cannot_be_used_is_one_sentence(plane, words, sentence):
    status, out, err = run(plane, "nova-gpu", "host", "list", *words)
    assert (status, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_a_token_that_was_revoked(plane):
    with plane.connection("admin") as connection:
        token = connection.authorize()
        auth = connection.config.config["auth"]
        connection.session.delete(
            f"{auth['auth_url']}/auth/tokens", headers={"X-Subject-Token": token}
        )
    words = ["--os-auth-type", "v3token", "--os-token", token, "--os-auth-url", auth["auth_url"]]
    words += ["--os-project-name", "admin", "--os-project-domain-name", "Default"]
    environment = plane.environment("")
    environment |= {"OS_CLIENT_CONFIG_FILE": "/dev/null"}
    del environment["OS_CLOUD"]
    done = subprocess.run(
        ["nova-gpu", "host", "list", *words], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "it has expired or was revoked" in done.stderr
    assert token not in done.stderr


@pytest.mark.parametrize("service", ["placement", "keystone"])
def test_a_service_that_is_down_is_named(plane, service):
    plane.services[service].stop()
    try:
        status, out, err = run(plane, "nova-gpu", "host", "list")
    finally:
        plane.services[service].start()
        plane.services[service].wait_ready()
    assert (status, out) == (2, "")
    assert err.startswith(f"nova-gpu: {service.title()} at http://127.0.0.1:")
    assert err.endswith("cannot be reached: Connection refused\n")
