# SPDX-License-Identifier: Apache-2.0
"""Whole cores stay whole beside flavors that take parts of cores."""

from nova_gpu_passthrough.fleet import flavors
from nova_gpu_passthrough.fleet.model import FixedFlavor, FlavorRule
from tests.unit.generate import builders
from tests.unit.generate.fleets import resolved

POLICY = "hw:cpu_thread_policy"


def policies(*inventories, **keys):
    plan = flavors.make(resolved(*inventories, **keys))
    assert not plan.refused
    return {flavor.name: flavor.extra_specs.get(POLICY) for flavor in plan.flavors}


def rule(count, **keys):
    return FlavorRule("H100-SXM", (count,), "{count}", **keys)


def test_nothing_is_said_where_all_servers_take_whole_cores():
    assert set(policies(builders.hgx()).values()) == {None}


def test_threads_are_required_beside_a_flavor_with_part_of_a_core():
    rules = (rule(1, vcpus_per_gpu=1), rule(2), rule(4))
    assert policies(builders.hgx(), flavors=rules) == {"1": None, "2": "require", "4": "require"}


def test_an_operator_s_word_counts():
    rules = (rule(1, vcpus_per_gpu=1), rule(2, extra_specs={POLICY: "prefer"}))
    assert policies(builders.hgx(), flavors=rules)["2"] == "prefer"


def test_hosts_without_threads_could_not_boot_it():
    hosts = builders.hgx(numa_nodes=builders.nodes(cores=16, threads=1))
    assert set(policies(hosts, flavors=(rule(1, vcpus_per_gpu=1), rule(2))).values()) == {None}


def test_flavors_of_other_hosts_do_not_matter():
    rules = (rule(4), FlavorRule("L40S", (1,), "l40s", vcpus_per_gpu=1))
    found = policies(builders.hgx(), builders.l40s(), flavors=rules)
    assert found == {"4": None, "l40s": None}


def test_flavors_that_are_written_out_count_and_stay_as_they_are():
    specs = {
        "pci_passthrough:alias": "h100-sxm:1",
        "hw:cpu_policy": "dedicated",
        "hw:maxphysaddr_mode": "passthrough",
    }
    fixed = (FixedFlavor("odd", 3, 1024, extra_specs=specs),)
    assert policies(builders.hgx(), flavors=(rule(4),), fixed_flavors=fixed) == {
        "4": "require",
        "odd": None,
    }
