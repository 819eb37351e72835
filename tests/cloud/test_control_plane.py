# SPDX-License-Identifier: Apache-2.0
"""The control plane itself has the properties that other tests rely on."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from oslo_config import cfg

from nova_gpu_passthrough.inventory import store
from tests import cache
from tests.cloud import servers

#: Seconds for a new control plane, including the creation of its databases.
_START = 240
_FLAVOR = {
    "pci_passthrough:alias": "h100-sxm:1",
    "hw:cpu_policy": "dedicated",
    "hw:numa_nodes": "1",
    "hw:pci_numa_affinity_policy": "required",
    "hw:mem_page_size": "small",
    "hw:maxphysaddr_mode": "passthrough",
}


@pytest.fixture(scope="module")
def flavor(plane):
    with (
        plane.connection("admin") as admin,
        servers.flavor(admin, "infrastructure-h100", 14, 128000, _FLAVOR) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def tenant(plane):
    with plane.connection("tenant") as cloud:
        yield cloud


def test_all_services_are_up(plane):
    with plane.connection("admin") as admin:
        services = list(admin.compute.services())
        assert {service.host for service in services if service.binary == "nova-compute"} == set(
            plane.hosts
        )
        assert {service.binary for service in services} == {
            "nova-compute",
            "nova-conductor",
            "nova-scheduler",
        }
        assert {service.state for service in services} == {"up"}
        assert all(service.running for service in plane.services.values())


def test_placement_has_what_the_inventories_tell(plane):
    with plane.connection("admin") as admin:
        providers = {provider.name: provider for provider in admin.placement.resource_providers()}
        expected = set()
        for inventory in map(store.load, plane.inventories):
            host = inventory.host
            expected.add(host)
            specs = _device_specs(plane.config / host)
            assert len(specs) == sum(1 + len(gpu.companions) for gpu in inventory.gpus)
            for spec in specs:
                # Nova writes hexadecimal digits in provider names in upper case.
                name = f"{host}_{spec['address'].upper()}"
                expected.add(name)
                assert _inventories(admin, providers[name]) == {spec["resource_class"]: (1, 0)}
                assert set(spec["traits"].split(",")) <= _traits(admin, providers[name])
            offered = _inventories(admin, providers[host])
            reserved = _reserved_memory(plane.config / host)
            memory = sum(node.memory_mib for node in inventory.numa_nodes)
            assert offered["MEMORY_MB"] == (memory, reserved)
            assert ("PCPU" in offered) == bool(inventory.gpus)
        assert providers.keys() == expected


def test_a_tenant_boots_a_gpu_server(plane, tenant, flavor):
    with servers.server(tenant, flavor) as server:
        assert server.status == "ACTIVE"
        with plane.connection("admin") as admin:
            host = admin.compute.get_server(server).hypervisor_hostname
            assert host in ("gpu01", "gpu02")
            allocations = admin.placement.get(f"/allocations/{server.id}").json()["allocations"]
        allocated = [allocation["resources"] for allocation in allocations.values()]
        assert {"CUSTOM_GPU_H100_SXM": 1} in allocated
    # GpuPassthroughFilter was called.
    assert "GpuPassthroughFilter" in plane.site.log("nova-scheduler").read_text()


def test_limits_of_the_project_are_enforced(plane, tenant, flavor):
    with plane.connection("admin") as admin:
        identity = admin.identity
        service = identity.find_service("nova")
        project = identity.find_project("research")
        resource = "class:CUSTOM_GPU_H100_SXM"
        default = identity.create_registered_limit(
            service_id=service.id, region_id="RegionOne", resource_name=resource, default_limit=9
        )
        limit = identity.create_limit(
            service_id=service.id,
            region_id="RegionOne",
            resource_name=resource,
            project_id=project.id,
            resource_limit=0,
        )
        try:
            with pytest.raises(Exception, match=resource), servers.server(tenant, flavor):
                pass
        finally:
            identity.delete_limit(limit)
            identity.delete_registered_limit(default)


def test_servers_outlive_their_compute_service(plane, tenant, flavor):
    with servers.server(tenant, flavor) as server:
        with plane.connection("admin") as admin:
            host = admin.compute.get_server(server).hypervisor_hostname
        service = plane.services[f"nova-compute-{host}"]
        service.kill()
        service.start()
        service.wait_ready()
        reboot = partial(tenant.compute.reboot_server, reboot_type="HARD")
        assert servers.act(tenant, server, reboot) == "ACTIVE"


def test_a_server_is_stopped_started_and_rebooted(plane, tenant, flavor):
    with servers.server(tenant, flavor) as server, plane.connection("admin") as admin:
        allocations = f"/allocations/{server.id}"
        before = admin.placement.get(allocations).json()["allocations"]
        assert servers.act(tenant, server, tenant.compute.stop_server) == "SHUTOFF"
        assert servers.act(tenant, server, tenant.compute.start_server) == "ACTIVE"
        reboot = partial(tenant.compute.reboot_server, reboot_type="HARD")
        assert servers.act(tenant, server, reboot) == "ACTIVE"
        after = admin.placement.get(allocations).json()["allocations"]
        assert after == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_behind(tmp_path, number):
    directory = tmp_path / "cloud"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cloud", "--dir", directory],
        cwd=cache.ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        # End it during its start, when most services are incomplete.
        api = directory / "log/nova-api.log"
        assert _wait(lambda: [] if api.exists() else ["no API"], _START) == []
        assert _left(directory)
        process.send_signal(number)
        process.wait(30)
        assert _wait(lambda: _left(directory), 30) == []
    finally:
        process.kill()
        process.wait()


def _wait(remaining, timeout):
    """Return what remains after some time; empty if everything was removed."""
    deadline = time.monotonic() + timeout
    while (found := remaining()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def _left(directory: Path) -> list[str]:
    """Return its subdirectories, and command lines of processes that name or use it."""
    found = [folder for folder, _, _ in os.walk(directory)]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            place = os.readlink(process / "cwd")
        except OSError:
            continue
        if str(directory) in command + place and process.name != str(os.getpid()):
            found.append(command)
    return found


def _device_specs(folder: Path) -> list[dict[str, str]]:
    text = "".join(path.read_text() for path in folder.glob("etc/nova/nova.conf.d/*.conf"))
    return [
        json.loads(line.partition("=")[2])
        for line in text.splitlines()
        if line.startswith("device_spec")
    ]


def _reserved_memory(folder: Path) -> int:
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.IntOpt("reserved_host_memory_mb", default=512))
    conf([], default_config_files=[str(path) for path in folder.glob("etc/nova/nova.conf.d/*")])
    return conf.reserved_host_memory_mb


def _inventories(admin, provider):
    return {
        inventory.resource_class: (inventory.total, inventory.reserved)
        for inventory in admin.placement.resource_provider_inventories(provider)
    }


def _traits(admin, provider) -> set[str]:
    headers = {"OpenStack-API-Version": "placement 1.39"}
    path = f"/resource_providers/{provider.id}/traits"
    return set(admin.placement.get(path, headers=headers).json()["traits"])
