# SPDX-License-Identifier: Apache-2.0
"""Flavors of a fleet: sizes, names, access and refusals."""

import dataclasses

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet import flavors
from nova_gpu_passthrough.fleet.desired_state import ProjectName
from nova_gpu_passthrough.fleet.model import (
    AliasRule,
    FixedFlavor,
    FlavorRule,
    Project,
)
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.inventory.host import Cpu
from nova_gpu_passthrough.inventory.pci import Bar
from tests.unit.generate import builders
from tests.unit.generate.fleets import resolved

GIB = 1024


def make(*inventories, **keys):
    return flavors.make(resolved(*inventories, **keys))


def by_name(plan):
    return {flavor.name: flavor for flavor in plan.flavors}


def refused(plan):
    return {one.name: one.reason for one in plan.refused}


def h100(**keys):
    return {"flavors": (FlavorRule("H100-SXM", **keys),)}


def test_without_rules_each_model_gets_default_flavors():
    plan = make(builders.hgx(), builders.l40s())
    assert list(by_name(plan)) == [
        "gpu.h100-sxm.1",
        "gpu.h100-sxm.2",
        "gpu.h100-sxm.4",
        "gpu.h100-sxm.8",
        "gpu.l40s.1",
        "gpu.l40s.2",
        "gpu.l40s.4",
    ]
    assert plan.refused == ()
    flavor = by_name(plan)["gpu.l40s.2"]
    assert (flavor.gpus, flavor.model, flavor.disk_gib) == (2, "L40S", 40)
    assert flavor.extra_specs == {
        "pci_passthrough:alias": "l40s:2,l40s-audio:2",
        "hw:cpu_policy": "dedicated",
        "hw:numa_nodes": "1",
        "hw:pci_numa_affinity_policy": "required",
        "hw:mem_page_size": "small",
        "hw:maxphysaddr_mode": "passthrough",
    }
    assert plan.hosts["gpu.l40s.2"] == ("l40s1",)


def test_sizes_are_shares_of_a_numa_node_in_whole_cores_and_gib():
    # 8 cores of 2 threads: the host keeps one, shares one, and 6 are for 4 GPUs.
    found = by_name(make(builders.hgx()))
    assert [flavor.vcpus for flavor in found.values()] == [2, 6, 12, 24]
    # 256 GiB less 5.5 GiB that the host keeps.
    assert [flavor.ram_mib for flavor in found.values()] == [
        62 * GIB,
        125 * GIB,
        250 * GIB,
        500 * GIB,
    ]


def test_resources_that_are_left_have_reasons():
    plan = make(builders.hgx())
    (one,) = plan.stranded["gpu.h100-sxm.1"]
    assert one.hosts == ("hgx1",)
    assert one.servers == {"gpu.h100-sxm.1": 8}
    assert (one.left.gpus, one.left.vcpus) == (0, 24 - 8 * 2)
    assert (one.total.gpus, one.total.vcpus) == (8, 24)
    cores, memory = one.reasons
    assert cores == (
        "node 0 has 12 CPUs besides the 4 that the host keeps or shares, so the share of a server "
        "with 1 of 4 GPUs is 3 CPUs in each of its NUMA nodes, which is not a multiple of 2, the "
        "threads of a core; host_cores: 2 would avoid this"
    )
    assert memory == (
        "a server's share of a NUMA node is 64128 MiB, which is rounded down to 63488 MiB"
    )
    # The proposed setting helps.
    plan = make(builders.hgx(), settings=Settings(host_cores=2))
    (one,) = plan.stranded["gpu.h100-sxm.1"]
    assert one.left.vcpus == 0


def test_the_best_mix_leaves_least():
    plan = make(builders.hgx(), **h100(counts=(1, 4)))
    (best,) = plan.best
    assert best.servers == {"gpu.h100-sxm.4": 2}
    assert best.left.gpus == best.left.vcpus == 0


def test_equal_hosts_have_one_entry():
    plan = make(builders.hgx("a"), builders.hgx("b"), builders.hgx("c", links=False))
    assert [one.hosts for one in plan.best] == [("a", "b"), ("c",)]


def test_links_are_required_only_if_all_hosts_have_them():
    specs = by_name(make(builders.hgx("a"), builders.hgx("b")))["gpu.h100-sxm.4"].extra_specs
    assert specs["gpu:link"] == "required"
    mixed = by_name(make(builders.hgx("a"), builders.hgx("b", links=False)))
    assert "gpu:link" not in mixed["gpu.h100-sxm.4"].extra_specs


def test_names_follow_the_template():
    plan = make(
        builders.hgx(),
        aliases=(AliasRule("H100-SXM", name="h100"),),
        **h100(
            counts=(2,),
            name="{alias}/{model} x{count} {vcpus} {ram_gib} {disk_gib}",
            disk_gib=7,
        ),
    )
    assert list(by_name(plan)) == ["h100/H100-SXM x2 6 125 7"]


def test_one_name_for_two_flavors_is_an_error():
    with pytest.raises(UserError, match=r"flavors\[0\].name: there would be two flavors x; put"):
        make(builders.hgx(), **h100(name="x"))
    twice = (FlavorRule("H100-SXM", counts=(1,), name="x"), FlavorRule("L40S", (1,), "x"))
    with pytest.raises(
        UserError, match=r"flavors\[1\].name: there would be two .*flavors\[0\].name"
    ):
        make(builders.hgx(), builders.l40s(), flavors=twice)
    fixed = (FixedFlavor("gpu.h100-sxm.1", 1, 1),)
    with pytest.raises(UserError, match=r"fixed_flavors\[0\].name: there would be two flavors gpu"):
        make(builders.hgx(), fixed_flavors=fixed)


def test_projects_get_flavors_by_patterns():
    plan = make(
        builders.hgx(),
        fixed_flavors=(FixedFlavor("cpu", 1, 1024), FixedFlavor("own", 1, 1024, public=False)),
        projects=(
            Project("b", "d", flavors=("gpu.*.[12]", "own")),
            Project("a", flavors=("gpu.*.1",)),
            Project("c"),
        ),
    )
    found = {name: flavor.projects for name, flavor in by_name(plan).items()}
    assert found["gpu.h100-sxm.1"] == (ProjectName("a"), ProjectName("b", "d"))
    assert found["gpu.h100-sxm.2"] == found["own"] == (ProjectName("b", "d"),)
    assert found["gpu.h100-sxm.8"] == ()
    assert found["cpu"] is None


def test_a_pattern_that_matches_nothing_is_an_error():
    with pytest.raises(UserError, match=r"projects\[0\].flavors\[1\]: m1.\* matches no flavor"):
        make(builders.hgx(), projects=(Project("a", flavors=("gpu.*", "m1.*")),))


def test_a_pattern_that_matches_only_refused_flavors_is_reported():
    plan = make(
        builders.hgx(),
        projects=(Project("a", flavors=("gpu.*.16",)),),
        **h100(counts=(1, 16)),
    )
    assert "pattern gpu.*.16 of project a matches only refused flavors" in map(str, plan.notes)


def test_more_gpus_than_any_host_has_are_refused():
    plan = make(builders.hgx(), **h100(counts=(8, 16)))
    assert list(by_name(plan)) == ["gpu.h100-sxm.8"]
    assert refused(plan) == {
        "gpu.h100-sxm.16": ("no host has 16 GPUs of H100-SXM; the most is 8, on hgx1")
    }


@pytest.mark.parametrize(
    "keys, reason",
    [
        (
            {"counts": (1,), "numa_nodes": 2, "vcpus_per_gpu": 3},
            "3 vCPUs and 63488 MiB cannot be divided by hw:numa_nodes=2",
        ),
        (
            {"counts": (1,), "numa_nodes": 3},
            "needs CPUs for pinned vCPUs on as many nodes of the host",
        ),
        ({"counts": (4,), "vcpus_per_gpu": 4}, "1 x (16 pinned CPUs"),
        ({"counts": (8,), "vcpus_per_gpu": 4}, "PCPU: 32 requested, 24 of 24 free"),
        ({"counts": (4,), "ram_mib_per_gpu": 80 * GIB}, "12 of 12 CPUs free for pinning"),
        ({"counts": (8,), "ram_mib_per_gpu": 80 * GIB}, "MEMORY_MB: 655360 requested"),
        (
            {"counts": (8,), "numa_nodes": 1},
            "no 1 NUMA nodes with CPUs and memory have 8 GPUs of H100-SXM",
        ),
        (
            {"counts": (8,), "numa_nodes": 1, "vcpus_per_gpu": 1, "ram_mib_per_gpu": 1024},
            "free GPUs are not on allowed NUMA nodes",
        ),
        ({"counts": (2,), "page_size": "2MB"}, "no memory for servers in pages of size 2MB"),
        (
            {"counts": (1,), "page_size": "1GB", "ram_mib_per_gpu": 1024, "vcpus_per_gpu": 1},
            "no NUMA nodes suit both the guest and its devices",
        ),
        ({"counts": (2,), "cpu_policy": "shared", "vcpus_per_gpu": 4}, "VCPU: 8 requested, one"),
        ({"counts": (1,), "extra_specs": {"gpu:link": "yes"}}, "extra spec gpu:link is 'yes'"),
        (
            {"counts": (1,), "extra_specs": {"hw:cpu_thread_policy": "x"}},
            "hw:cpu_thread_policy is 'x', expected one of",
        ),
    ],
)
def test_a_flavor_that_no_host_can_boot_is_refused_with_the_reason(keys, reason):
    plan = make(builders.hgx(), **h100(**keys))
    assert plan.flavors == ()
    (one,) = plan.refused
    assert reason in one.reason
    assert "\n" not in one.reason


def test_links_that_no_host_has_are_refused():
    plan = make(
        builders.hgx(links=False), **h100(counts=(2,), extra_specs={"gpu:link": "required"})
    )
    (one,) = plan.refused
    assert one.reason.startswith("hgx1: free GPUs are not in one link group")


def test_memory_is_limited_to_what_the_address_space_holds():
    found = builders.l40s(
        count=1,
        audio=False,
        cpu=Cpu("intel", None, 39),
        numa_nodes=builders.nodes(memory_mib=512 * GIB),
    )
    found = builders.changed(found, "0000:41:00.0", bars=(Bar(0, 64 * builders.GIB, True, True),))
    plan = make(found)
    (flavor,) = plan.flavors
    assert flavor.ram_mib < 501 * GIB
    assert flavor.ram_mib % GIB == 0
    assert any("the address space of a guest does not hold" in str(note) for note in plan.notes)
    (one,) = plan.stranded[flavor.name]
    assert "the address space of a guest holds no more memory besides the GPUs' BARs" in one.reasons
    # A size that the operator sets is not reduced, but refused.
    plan = make(found, flavors=(FlavorRule("L40S", ram_mib_per_gpu=480 * GIB),))
    (one,) = plan.refused
    assert "39 bits of address space do not hold the BARs of 1 GPUs and 491520 MiB" in one.reason


def test_bars_that_never_fit_are_refused():
    found = builders.l40s(count=1, audio=False, cpu=Cpu("intel", None, 39))
    found = builders.changed(found, "0000:41:00.0", bars=(Bar(0, 512 * builders.GIB, True, True),))
    (one,) = make(found).refused
    assert one.reason.endswith("hold the BARs of 1 GPUs, however little memory it has")


def test_a_host_without_known_cores_or_memory_is_reported():
    (one, *_) = make(builders.hgx(numa_nodes=builders.nodes(cores=1))).refused
    assert one.reason.startswith("hgx1: there are no CPUs for pinned vCPUs")
    (one, *_) = make(builders.hgx(numa_nodes=builders.nodes(memory_mib=0))).refused
    assert one.reason == "hgx1: there is no memory for servers in pages of size small"


def test_a_host_that_cannot_boot_a_flavor_of_others_is_reported():
    plan = make(
        builders.hgx("a"),
        builders.hgx("b", numa_nodes=builders.nodes(cores=5)),
        **h100(counts=(4,), vcpus_per_gpu=3),
    )
    assert plan.hosts["gpu.h100-sxm.4"] == ("a",)
    (note,) = [str(note) for note in plan.notes]
    assert note.startswith("not every host can boot gpu.h100-sxm.4: b: no NUMA nodes with room")


def test_the_smallest_host_decides_and_is_named():
    plan = make(builders.hgx("a", numa_nodes=builders.nodes(cores=12)), builders.hgx("b"))
    large = next(one for one in plan.stranded["gpu.h100-sxm.4"] if one.hosts == ("a",))
    assert large.left.vcpus == 2 * 20 - 2 * 12
    assert "b has fewer CPUs for each GPU" in large.reasons


def test_a_rule_overrides_extra_specs_and_removes_them_by_an_empty_value():
    plan = make(
        builders.hgx(),
        **h100(counts=(2,), extra_specs={"gpu:link": "", "hw:mem_encryption": "true"}),
    )
    (flavor,) = plan.flavors
    assert "gpu:link" not in flavor.extra_specs
    assert flavor.extra_specs["hw:mem_encryption"] == "true"


def test_fixed_flavors_are_checked_and_counted():
    specs = {
        "pci_passthrough:alias": "l40s:3",
        "hw:numa_nodes": "2",
        "hw:cpu_policy": "dedicated",
    }
    wide = {**specs, "hw:maxphysaddr_mode": "passthrough"}
    plan = make(
        builders.l40s(),
        fixed_flavors=(
            FixedFlavor("three", 6, 6 * GIB, extra_specs=wide),
            FixedFlavor("many", 600, 6 * GIB, extra_specs=wide),
            FixedFlavor("narrow", 6, 6 * GIB, extra_specs=specs),
            FixedFlavor("odd", 5, 6 * GIB, extra_specs={"hw:numa_nodes": "2"}),
            FixedFlavor("vgpu", 2, 1024, extra_specs={"resources:VGPU": "1"}),
        ),
    )
    found = by_name(plan)
    assert (found["three"].gpus, found["three"].model) == (3, "L40S")
    assert found["vgpu"].gpus == 0
    assert plan.stranded["three"][0].servers == {"three": 1}
    assert plan.stranded["three"][0].reasons == ("the fleet file sets the size of the flavor",)
    assert set(refused(plan)) == {"many", "narrow", "odd"}
    assert "40 bits of address space do not hold the BARs of 3 GPUs" in refused(plan)["narrow"]
    assert "cannot be divided by hw:numa_nodes=2" in refused(plan)["odd"]


def test_a_rule_for_some_groups_requires_their_trait():
    groups = {"a": [builders.hgx("a1")], "b": [builders.hgx("b1")], "c": [builders.l40s("c1")]}
    rules = (
        FlavorRule("H100-SXM", (8,), "a.{count}", groups=("a",)),
        FlavorRule("H100-SXM", (8,), "ab.{count}", groups=("b", "a")),
        FlavorRule("L40S", (1,), "c.{count}", groups=("c",)),
    )
    plan = make(groups=groups, flavors=rules)
    found = by_name(plan)
    assert found["a.8"].extra_specs["trait:CUSTOM_GPU_GROUP_A"] == "required"
    assert plan.hosts["a.8"] == ("a1",)
    # All hosts with the model are in these groups.
    for name in ("ab.8", "c.1"):
        assert not any(key.startswith("trait") for key in found[name].extra_specs)


def test_only_hosts_of_mode_passthrough_count():
    groups = {"a": [builders.l40s("a1")], "b": [builders.l40s("b1")]}
    plan = make(groups=groups, modes={"b": "vgpu"})
    assert set(plan.hosts.values()) == {("a1",)}
    assert make(groups=groups, modes={"a": "mig", "b": "vgpu"}) == flavors.FlavorPlan()


def test_shared_vcpus_are_shares_of_the_shared_cpus():
    plan = make(builders.hgx(), **h100(counts=(4, 8), cpu_policy="shared"))
    assert [flavor.vcpus for flavor in plan.flavors] == [2, 4]
    (one,) = plan.stranded["gpu.h100-sxm.4"]
    assert (one.total.vcpus, one.left.vcpus) == (4, 0)


POLICY = "hw:cpu_thread_policy"


def policies(*inventories, **keys):
    plan = flavors.make(resolved(*inventories, **keys))
    assert not plan.refused
    return {flavor.name: flavor.extra_specs.get(POLICY) for flavor in plan.flavors}


def rule(count, **keys):
    return FlavorRule("H100-SXM", (count,), "{count}", **keys)


def test_there_is_no_policy_if_all_servers_use_whole_cores():
    assert set(policies(builders.hgx()).values()) == {None}


def test_threads_are_required_if_another_flavor_uses_part_of_a_core():
    rules = (rule(1, vcpus_per_gpu=1), rule(2), rule(4))
    assert policies(builders.hgx(), flavors=rules) == {"1": None, "2": "require", "4": "require"}


def test_the_policy_of_the_operator_is_kept():
    rules = (rule(1, vcpus_per_gpu=1), rule(2, extra_specs={POLICY: "prefer"}))
    assert policies(builders.hgx(), flavors=rules)["2"] == "prefer"


def test_hosts_without_threads_get_no_policy():
    hosts = builders.hgx(numa_nodes=builders.nodes(cores=16, threads=1))
    assert set(policies(hosts, flavors=(rule(1, vcpus_per_gpu=1), rule(2))).values()) == {None}


def test_flavors_of_other_hosts_do_not_matter():
    rules = (rule(4), FlavorRule("L40S", (1,), "l40s", vcpus_per_gpu=1))
    found = policies(builders.hgx(), builders.l40s(), flavors=rules)
    assert found == {"4": None, "l40s": None}


def test_fixed_flavors_count_and_are_not_changed():
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


def test_without_cpu_sets_nova_pins_vcpus_to_any_cpu():
    specs = {
        "pci_passthrough:alias": "h100-sxm:1",
        "hw:cpu_policy": "dedicated",
        "hw:maxphysaddr_mode": "passthrough",
    }
    nodes = tuple(dataclasses.replace(node, cores=()) for node in builders.nodes())
    plan = make(
        builders.hgx(numa_nodes=nodes),
        **h100(counts=(1,)),
        fixed_flavors=(FixedFlavor("all", 16, 1024, extra_specs=specs),),
    )
    # By a second request to Placement, for VCPU.
    assert plan.hosts == {"all": ("hgx1",)}
    assert plan.stranded["all"][0].servers == {"all": 2}
    # Such flavors are not generated, because the host also needs CPUs.
    assert "there are no CPUs for pinned vCPUs" in refused(plan)["gpu.h100-sxm.1"]
