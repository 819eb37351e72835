# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from nova_gpu_passthrough.cloud.lint import checks
from nova_gpu_passthrough.cloud.view.model import DeviceState, Resource
from tests.unit.cloud.lint.clouds import clean_cloud, server, with_host

OFF = "[gpu_passthrough]\navoid_gpu_hosts = 0\n"


@pytest.fixture
def unprotected(site):
    """A fleet whose aggregates have no metadata that protects free GPUs."""
    aggregates = tuple(dataclasses.replace(a, metadata={}) for a in site.desired.aggregates)
    site.desired = dataclasses.replace(site.desired, aggregates=aggregates)
    return site


def test_unprotected_hosts_are_reported(unprotected, only_finding):
    unprotected.add("control", OFF)
    finding = only_finding(unprotected)
    assert (finding.id, finding.severity) == ("scheduler.unprotected", "warning")
    assert "gpu-all" in finding.found


@pytest.mark.parametrize("option", ["only_gpu_servers = true", "reserved_ram_mib_per_gpu = 1024"])
def test_an_enforced_rule_protects_hosts(unprotected, all_findings, option):
    unprotected.add("control", f"{OFF}{option}\n")
    assert all_findings(unprotected) == []


def test_generated_aggregate_metadata_protects_hosts(site, all_findings):
    site.add("control", OFF)
    assert all_findings(site) == []


def crowded(site, free_mib, **changes):
    """Return a cloud whose H100 host has two servers without GPUs."""

    def put(host):
        memory = host.resources["MEMORY_MB"]
        used = memory.capacity - free_mib
        resources = {**host.resources, "MEMORY_MB": dataclasses.replace(memory, used=used)}
        return dataclasses.replace(
            host, servers=(server(1), server(2)), resources=resources, **changes
        )

    return with_host(clean_cloud(site), "hgx1", put)


def test_servers_that_strand_gpus_are_reported(site, only_finding):
    site.cloud = crowded(site, 100_000)
    finding = only_finding(site)
    assert (finding.id, finding.subject) == ("host.crowded", "host hgx1")
    assert "2 servers without GPUs leave its 8 free GPUs 100000 of" in finding.found


def test_servers_that_leave_enough_memory_are_accepted(site, all_findings):
    site.cloud = clean_cloud(site)
    most = site.cloud.view.hosts[0].resources["MEMORY_MB"].capacity
    site.cloud = crowded(site, most)
    assert all_findings(site) == []


def test_a_host_without_free_gpus_is_not_checked(site, all_findings):
    site.cloud = crowded(site, 0)

    def use(host):
        devices = tuple(
            dataclasses.replace(
                device,
                state=DeviceState.IN_USE,
                resource=Resource(1, used=1),
                consumers=("server-1",),
            )
            for device in host.devices
        )
        return dataclasses.replace(host, devices=devices)

    site.cloud = with_host(site.cloud, "hgx1", use)
    assert all_findings(site) == []


def test_units_of_gpus_are_counted(site):
    site.cloud = crowded(site, 100_000)

    def use(host):
        first, *others = host.devices
        first = dataclasses.replace(first, resource=Resource(4, used=3), consumers=("gpu-server",))
        return dataclasses.replace(host, devices=(first, *others))

    site.cloud = with_host(site.cloud, "hgx1", use)
    (found,) = (one.found for one in checks.findings(site.facts()) if one.id == "host.crowded")
    # One VF of the first GPU, and seven GPUs.
    assert "leave its 8 free GPUs" in found
    memory = site.cloud.view.hosts[0].resources["MEMORY_MB"]
    assert f"of {memory.capacity * 8 // 11} MEMORY_MB" in found


def test_a_protected_host_is_not_checked(site, all_findings):
    metadata = {"gpu_passthrough:reserved_ram_mib_per_gpu": "131072"}
    site.cloud = crowded(site, 0, aggregates={"gpu-all": metadata})
    assert all_findings(site) == []
