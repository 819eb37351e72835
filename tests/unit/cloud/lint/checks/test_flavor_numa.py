# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from tests.unit.cloud.lint.builders import Site
from tests.unit.cloud.lint.clouds import clean, with_flavor
from tests.unit.generate.builders import l40s

ALIAS = {"pci_passthrough__alias": "l40s:1"}
NUMA = {**ALIAS, "hw__numa_nodes": "1", "hw__pci_numa_affinity_policy": "required"}


def untold(host):
    """A host whose firmware tells no NUMA node of any device."""
    found = l40s(host)
    devices = tuple(dataclasses.replace(d, numa_node=None) for d in found.devices)
    return dataclasses.replace(found, devices=devices)


@pytest.mark.parametrize("specs", [ALIAS, {**ALIAS, "hw__cpu_policy": "shared"}])
def test_a_gpu_flavor_without_a_numa_topology_is_found(site, only, specs):
    site.cloud = with_flavor(clean(site), "mine", **specs)
    finding = only(site)
    assert (finding.id, finding.severity) == ("flavor.no_numa", "warning")


@pytest.mark.parametrize("spec", ["hw__numa_nodes", "hw__cpu_policy", "hw__mem_page_size"])
def test_each_extra_spec_that_makes_a_topology_will_do(site, found, spec):
    value = {"hw__numa_nodes": "1", "hw__cpu_policy": "dedicated", "hw__mem_page_size": "small"}
    site.cloud = with_flavor(clean(site), "mine", 2, **ALIAS, **{spec: value[spec]})
    assert found(site) == []


def test_a_policy_that_devices_without_a_node_cannot_meet_is_found(tmp_path, only):
    """Firmware that reports numa_node -1."""
    site = Site(tmp_path, inventories=[untold("l40s1")])
    site.cloud = with_flavor(clean(site), "mine", 2, **NUMA)
    finding = only(site)
    assert (finding.id, finding.severity) == ("flavor.numa_unknown", "failure")
    assert "policy required for alias l40s" in finding.found
    assert "no valid host" in finding.why


def test_it_is_a_warning_where_other_hosts_remain(tmp_path, found):
    site = Site(tmp_path, inventories=[untold("a1"), l40s("b1")])
    site.cloud = with_flavor(clean(site), "mine", 2, **NUMA)
    assert found(site) == [("flavor.numa_unknown", "flavor mine", "warning")]


def test_the_policy_of_the_alias_counts_where_the_flavor_has_none(tmp_path, found):
    site = Site(
        tmp_path,
        inventories=[untold("l40s1")],
        aliases=[{"model": "L40S", "numa_policy": "required"}],
        fixed_flavors=[{"name": "plain", "vcpus": 1, "ram_mib": 1024}],
    )
    site.cloud = with_flavor(clean(site), "mine", 2, **ALIAS, hw__numa_nodes="1")
    assert ("flavor.numa_unknown", "flavor mine", "failure") in found(site)
