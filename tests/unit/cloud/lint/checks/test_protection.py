# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from nova_gpu_passthrough.cloud.view.model import DeviceState
from tests.unit.cloud.lint.clouds import clean, server, with_host

OFF = "[gpu_passthrough]\navoid_gpu_hosts = 0\n"


@pytest.fixture
def unprotected(site):
    """The fleet's aggregates without the metadata that reserves something for free GPUs."""
    aggregates = tuple(dataclasses.replace(a, metadata={}) for a in site.desired.aggregates)
    site.desired = dataclasses.replace(site.desired, aggregates=aggregates)
    return site


def test_hosts_that_nothing_keeps_from_other_servers_are_found(unprotected, only):
    unprotected.add("control", OFF)
    finding = only(unprotected)
    assert (finding.id, finding.severity) == ("scheduler.unprotected", "warning")
    assert "gpu-all" in finding.found


@pytest.mark.parametrize("option", ["only_gpu_servers = true", "reserved_ram_mib_per_gpu = 1024"])
def test_a_hard_rule_by_option_protects(unprotected, found, option):
    unprotected.add("control", f"{OFF}{option}\n")
    assert found(unprotected) == []


def test_the_metadata_that_the_fleet_file_makes_protects(site, found):
    site.add("control", OFF)
    assert found(site) == []


def crowded(site, free_mib, **changes):
    """An H100 host with two servers without GPUs on it."""

    def put(host):
        memory = host.resources["MEMORY_MB"]
        used = memory.capacity - free_mib
        resources = {**host.resources, "MEMORY_MB": dataclasses.replace(memory, used=used)}
        return dataclasses.replace(
            host, servers=(server(1), server(2)), resources=resources, **changes
        )

    return with_host(clean(site), "hgx1", put)


def test_servers_without_gpus_that_strand_gpus_are_found(site, only):
    site.cloud = crowded(site, 100_000)
    finding = only(site)
    assert (finding.id, finding.subject) == ("host.crowded", "host hgx1")
    assert "2 servers without GPUs leave its 8 free GPUs 100000 of" in finding.found


def test_servers_that_leave_enough_are_fine(site, found):
    site.cloud = clean(site)
    most = site.cloud.view.hosts[0].resources["MEMORY_MB"].capacity
    site.cloud = crowded(site, most)
    assert found(site) == []


def test_a_host_without_free_gpus_has_nothing_to_lose(site, found):
    site.cloud = crowded(site, 0)

    def use(host):
        devices = tuple(
            dataclasses.replace(d, state=DeviceState.IN_USE, consumers=("server-1",))
            for d in host.devices
        )
        return dataclasses.replace(host, devices=devices)

    site.cloud = with_host(site.cloud, "hgx1", use)
    assert found(site) == []


def test_a_protected_host_is_left_alone(site, found):
    metadata = {"gpu_passthrough:reserved_ram_mib_per_gpu": "131072"}
    site.cloud = crowded(site, 0, aggregates={"gpu-all": metadata})
    assert found(site) == []
