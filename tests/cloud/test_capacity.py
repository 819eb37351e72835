# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu capacity`` on a real control plane: as many servers boot as it counts."""

import contextlib
import json
import time

import pytest

from tests.cloud import commands, image, servers

_NAME = "room"
#: Additional flavors: without NUMA topology, or dependent on Nova's defaults.
_MORE = """\
fixed_flavors:
  - name: room.plain
    vcpus: 4
    ram_mib: 8192
    disk_gib: 10
    extra_specs:
      "pci_passthrough:alias": "l40s:2"
      "hw:maxphysaddr_mode": passthrough
      "gpu:numa": required
  - name: room.threads
    vcpus: 5
    ram_mib: 9216
    disk_gib: 10
    extra_specs:
      "pci_passthrough:alias": "l40s:1"
      "hw:cpu_policy": dedicated
      "hw:cpu_thread_policy": require
      "hw:pci_numa_affinity_policy": preferred
  - name: room.pinned
    vcpus: 40
    ram_mib: 65536
    disk_gib: 10
    extra_specs: {"hw:cpu_policy": dedicated, "hw:numa_nodes": "1"}
"""
_FLAVORS = [
    "room.h100-sxm.1",
    "room.h100-sxm.2",
    "room.h100-sxm.4",
    "room.h100-sxm.8",
    "room.l40s.1",
    "room.l40s.2",
    "room.l40s.4",
    "room.plain",
    "room.threads",
]


@pytest.fixture(scope="module")
def fleet(plane, tmp_path_factory):
    """Apply a fleet with its flavors."""
    file = commands.write_fleet(plane, tmp_path_factory.mktemp("fleet"), _NAME)
    file.write_text(file.read_text() + _MORE)
    with commands.applied(plane, file):
        yield file


@pytest.fixture(scope="module")
def busy(plane, fleet):
    """Use a part of the hosts: CPUs of one NUMA node, and GPUs."""
    with plane.connection("admin") as admin, contextlib.ExitStack() as stack:
        for flavor, host in (
            ("room.pinned", "gpu01"),
            ("room.h100-sxm.1", "gpu02"),
            ("room.l40s.1", "gpu03"),
        ):
            stack.enter_context(_on(admin, flavor, host))
        yield


@contextlib.contextmanager
def _on(admin, flavor, host):
    """Boot a server on a given host.

    A forced host (the zone) passes no filter, so that Nova may take a GPU and its companion from
    two NUMA nodes, where no guest fits; a requested one passes all, also those that keep CPUs for
    servers with GPUs.
    """
    forced = flavor == "room.pinned"
    made = admin.compute.create_server(
        name=f"on-{host}",
        flavor_id=admin.compute.find_flavor(flavor, ignore_missing=False).id,
        image_id=admin.image.find_image(image.NAME).id,
        networks="none",
        **({"availability_zone": f"nova:{host}"} if forced else {"host": host}),
    )
    try:
        admin.compute.wait_for_server(made, interval=0.5, wait=servers.TIMEOUT)
        yield
    finally:
        admin.compute.delete_server(made)
        admin.compute.wait_for_delete(made, interval=0.5, wait=servers.TIMEOUT)


@pytest.fixture(scope="module")
def counted(plane, fleet, busy):
    """Return rows by flavor."""
    return {row["Flavor"]: row for row in _capacity(plane, fleet)}


def _capacity(plane, fleet, *options):
    done = commands.nova_gpu(plane, "capacity", "--fleet", fleet, "-f", "json", *options)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_every_gpu_flavor_is_counted_exactly(counted):
    assert {name for name in counted if name.startswith("room.")} == set(_FLAVORS)
    assert all(row["Exact"] for row in counted.values())
    # The hosts are neither empty nor full, and counts differ between flavors.
    assert len({row["Servers"] for row in counted.values()}) > 4


def test_stranded_gpus_are_those_without_cpus(plane, fleet, busy):
    rows = _capacity(plane, fleet, "--stranded")
    assert {(row["Host"], row["Model"], row["Limited By"]) for row in rows} == {
        ("gpu01", "H100-SXM", "vcpus")
    }


@pytest.mark.parametrize("flavor", _FLAVORS)
def test_as_many_servers_boot_as_were_counted(plane, counted, flavor):
    expected = counted[flavor]["Servers"]
    with plane.connection("tenant") as tenant, contextlib.ExitStack() as stack:
        # One request for all: servers that boot at the same time may claim the same CPUs.
        for number in filter(None, (expected, 1)):
            stack.enter_context(_several(tenant, flavor, number))
        found = [(one.status, one.fault) for one in _booted(tenant, flavor)]
        refused = [fault["message"] for status, fault in found if status == "ERROR"]
        assert [status for status, _ in found].count("ACTIVE") == expected, (found, counted[flavor])
        assert len(refused) == 1
        assert refused[0].startswith("No valid host was found")


@contextlib.contextmanager
def _several(tenant, flavor, number):
    """Boot a number of servers by one request; yield them once they are ACTIVE or in ERROR."""
    tenant.compute.create_server(
        name=flavor,
        flavor_id=tenant.compute.find_flavor(flavor, ignore_missing=False).id,
        image_id=tenant.image.find_image(image.NAME).id,
        networks="none",
        min_count=number,
        max_count=number,
    )
    try:
        _until(lambda: all(one.status != "BUILD" for one in _booted(tenant, flavor)))
        yield
    finally:
        for one in _booted(tenant, flavor):
            tenant.compute.delete_server(one)
        _until(lambda: not _booted(tenant, flavor))


def _booted(tenant, flavor):
    """Return servers of the flavor, with their faults."""
    found = [one for one in tenant.compute.servers() if one.name.startswith(flavor)]
    return [tenant.compute.get_server(one) if one.status == "ERROR" else one for one in found]


def _until(condition):
    deadline = time.monotonic() + servers.TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)
