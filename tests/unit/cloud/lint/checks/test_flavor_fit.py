# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from tests.unit.cloud.lint.builders import Site
from tests.unit.cloud.lint.clouds import clean_cloud, with_flavor
from tests.unit.generate.builders import l40s

ALIAS = {"pci_passthrough__alias": "l40s:1"}
NUMA = {**ALIAS, "hw__numa_nodes": "1", "hw__pci_numa_affinity_policy": "required"}


def without_nodes(host):
    """Return a host whose firmware reports no NUMA node for any device."""
    inventory = l40s(host)
    devices = tuple(dataclasses.replace(d, numa_node=None) for d in inventory.devices)
    return dataclasses.replace(inventory, devices=devices)


@pytest.mark.parametrize("specs", [ALIAS, {**ALIAS, "hw__cpu_policy": "shared"}])
def test_a_gpu_flavor_without_a_numa_topology_is_reported(site, only_finding, specs):
    site.cloud = with_flavor(clean_cloud(site), "mine", **specs)
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("flavor.no_numa", "warning")


@pytest.mark.parametrize("spec", ["hw__numa_nodes", "hw__cpu_policy", "hw__mem_page_size"])
def test_each_extra_spec_that_creates_a_topology_is_sufficient(site, all_findings, spec):
    value = {"hw__numa_nodes": "1", "hw__cpu_policy": "dedicated", "hw__mem_page_size": "small"}
    site.cloud = with_flavor(clean_cloud(site), "mine", 2, **ALIAS, **{spec: value[spec]})
    assert all_findings(site) == []


def test_a_numa_policy_for_devices_without_a_node_is_reported(tmp_path, only_finding):
    """Firmware that reports numa_node -1."""
    site = Site(tmp_path, inventories=[without_nodes("l40s1")])
    site.cloud = with_flavor(clean_cloud(site), "mine", 2, **NUMA)
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("flavor.numa_unknown", "failure")
    assert "policy required for alias l40s" in finding.found
    assert "no valid host" in finding.why


def test_a_numa_policy_is_a_warning_if_other_hosts_remain(tmp_path, all_findings):
    site = Site(tmp_path, inventories=[without_nodes("a1"), l40s("b1")])
    site.cloud = with_flavor(clean_cloud(site), "mine", 2, **NUMA)
    assert all_findings(site) == [("flavor.numa_unknown", "flavor mine", "warning")]


def test_the_numa_policy_of_the_alias_is_the_default(tmp_path, all_findings):
    site = Site(
        tmp_path,
        inventories=[without_nodes("l40s1")],
        aliases=[{"model": "L40S", "numa_policy": "required"}],
        fixed_flavors=[{"name": "plain", "vcpus": 1, "ram_mib": 1024}],
    )
    site.cloud = with_flavor(clean_cloud(site), "mine", 2, **ALIAS, hw__numa_nodes="1")
    assert ("flavor.numa_unknown", "flavor mine", "failure") in all_findings(site)


PINNED = {
    "hw__cpu_policy": "dedicated",
    "hw__numa_nodes": "1",
    "hw__pci_numa_affinity_policy": "required",
}


def test_a_request_for_more_devices_than_a_host_has_is_reported(site, only_finding):
    site.cloud = with_flavor(
        clean_cloud(site), "mine", pci_passthrough__alias="h100-sxm:9", hw__numa_nodes="1"
    )
    finding = only_finding(site)
    assert finding.id == "flavor.too_many_devices"
    assert "a host has at most 8" in finding.found


@pytest.mark.parametrize(
    ("vcpus", "ram_mib", "alias"),
    [(64, 8192, "h100-sxm:1"), (4, 10**7, "h100-sxm:1"), (4, 8192, "h100-sxm:5")],
)
def test_a_flavor_that_no_empty_host_can_boot_is_reported_with_the_reason(
    site, only_finding, vcpus, ram_mib, alias
):
    site.cloud = with_flavor(
        clean_cloud(site), "mine", vcpus, ram_mib, pci_passthrough__alias=alias, **PINNED
    )
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("flavor.no_host", "failure")
    assert "hgx1" in finding.found


def test_an_infeasible_flavor_of_the_fleet_file_is_reported(tmp_path, only_finding):
    flavors = [{"model": "H100-SXM", "counts": [1], "vcpus_per_gpu": 1000}]
    finding = only_finding(Site(tmp_path, flavors=flavors))
    assert (finding.id, finding.severity) == ("fleet.flavor_refused", "warning")
    assert finding.source.endswith("fleet")
