# SPDX-License-Identifier: Apache-2.0
"""The limits of Nova's quota drivers that a fleet file's quotas become."""

import importlib.metadata

import nova.conf
import pytest
from nova import objects
from nova.conf.quota import UnifiedLimitsResource
from nova.limit import placement
from nova.objects.flavor import Flavor
from nova.scheduler import utils

from nova_gpu_passthrough.fleet import derive_state, limits, releases
from nova_gpu_passthrough.fleet.consistency import AMOUNTS
from nova_gpu_passthrough.fleet.desired_state import ProjectName
from nova_gpu_passthrough.fleet.model import (
    FixedFlavor,
    Project,
    QuotaDriver,
    Quotas,
)
from nova_gpu_passthrough.fleet.settings import Settings
from tests.unit.generate import builders
from tests.unit.generate.fleets import resolved

objects.register_all()
NOVA = QuotaDriver.NOVA


def make(**keys):
    found = limits.make(resolved(builders.hgx(), builders.l40s(), **keys))
    return {
        (limit.resource, limit.project.name if limit.project else None): limit.value
        for limit in found
    }


def notes(*hosts, **keys):
    return [str(note) for note in derive_state.make(resolved(*hosts, **keys))[1].notes]


def test_without_quotas_there_are_no_limits():
    assert make() == {}
    assert make(quotas=Quotas(NOVA)) == {}


def unlimited(*hosts, **keys):
    return limits.unlimited(resolved(*hosts, **keys))


def test_resources_without_a_quota_are_named():
    vgpu = FixedFlavor("v", 1, 1024, extra_specs={"resources:VGPU": "1", "resources:VCPU": "1"})
    assert unlimited(builders.l40s(), fixed_flavors=(vgpu,)) == (
        "class:CUSTOM_GPU_L40S",
        "class:CUSTOM_GPU_L40S_AUDIO",
        "class:VGPU",
    )
    # A default of any alias limits all GPUs and their companions.
    quotas = Quotas(default={"l40s": 1})
    assert unlimited(builders.l40s(), fixed_flavors=(vgpu,), quotas=quotas) == ("class:VGPU",)


def test_resources_that_the_release_does_not_count_need_no_limit():
    assert unlimited(builders.l40s(), settings=Settings(release=releases.parse("33"))) == ()
    assert unlimited(builders.l40s(), quotas=Quotas(NOVA)) == ()


def test_an_alias_that_the_default_does_not_name_has_quota_0():
    assert make(quotas=Quotas(default={"servers": 3})) == {
        ("servers", None): 3,
        ("class:CUSTOM_GPU_H100_SXM", None): 0,
        ("class:CUSTOM_GPU_L40S", None): 0,
        ("class:CUSTOM_GPU_L40S_AUDIO", None): 0,
    }


def test_pinned_and_shared_vcpus_are_counted_separately():
    found = make(quotas=Quotas(default={"vcpus": 8, "ram_mib": 1024}))
    assert found["class:PCPU", None] == found["class:VCPU", None] == 8
    assert found["class:MEMORY_MB", None] == 1024


def test_disk_is_counted_in_gib():
    found = make(
        quotas=Quotas(default={"disk_gib": 100}),
        projects=(Project("p", quotas={"disk_gib": 500}),),
    )
    assert found["class:DISK_GB", None] == 100
    assert found["class:DISK_GB", "p"] == 500


def test_projects_have_their_own_limits_and_companions_follow_their_gpus():
    found = limits.make(
        resolved(
            builders.l40s(),
            quotas=Quotas(default={"l40s": 1}),
            projects=(
                Project("p", "d", quotas={"l40s": 4}),
                Project("q", quotas={"l40s": 2, "l40s-audio": 1}),
            ),
        )
    )
    assert [(limit.resource, limit.value, limit.project) for limit in found] == [
        ("class:CUSTOM_GPU_L40S", 1, None),
        ("class:CUSTOM_GPU_L40S", 4, ProjectName("p", "d")),
        ("class:CUSTOM_GPU_L40S", 2, ProjectName("q")),
        ("class:CUSTOM_GPU_L40S_AUDIO", 1, None),
        ("class:CUSTOM_GPU_L40S_AUDIO", 4, ProjectName("p", "d")),
        ("class:CUSTOM_GPU_L40S_AUDIO", 1, ProjectName("q")),
    ]


def test_a_limit_of_a_project_has_a_default_limit():
    """Keystone refuses a project's limit without a registered limit."""
    found = make(
        fixed_flavors=(FixedFlavor("v", 1, 1, extra_specs={"resources:VGPU": "1"}),),
        projects=(Project("p", quotas={"VGPU": 2}),),
    )
    assert found["class:VGPU", None] == 0
    assert found["class:VGPU", "p"] == 2
    resources = {resource for resource, project in found if project}
    assert resources <= {resource for resource, project in found if project is None}


def test_unified_limits_have_names_that_nova_knows():
    found = make(quotas=Quotas(default=dict.fromkeys(AMOUNTS, 1)))
    for resource, _ in found:
        assert UnifiedLimitsResource()(resource) == resource


def test_nova_s_own_quotas():
    found = make(
        quotas=Quotas(NOVA, {"servers": 1, "vcpus": 2, "ram_mib": 3}),
        projects=(Project("p", quotas={"vcpus": 9}),),
    )
    assert found == {
        ("instances", None): 1,
        ("cores", None): 2,
        ("ram", None): 3,
        ("cores", "p"): 9,
    }
    options = nova.conf.CONF.quota
    assert all(hasattr(options, resource) for resource, _ in found)


@pytest.mark.parametrize("release, reported", [("31", True), ("33", True), ("34", False)])
def test_releases_that_do_not_count_aliases_are_reported(release, reported):
    found = notes(
        builders.hgx(),
        settings=Settings(releases.parse(release)),
        quotas=Quotas(default={"h100-sxm": 8}),
    )
    assert any("bug 2140631" in note for note in found) is reported


def test_a_quota_that_is_too_small_for_a_project_s_flavor_is_reported():
    keys = {
        "projects": (
            Project("p", flavors=("gpu.*",), quotas={"vcpus": 1}),
            Project("q", flavors=("gpu.h100-sxm.8",), quotas={"h100-sxm": 4}),
        ),
        "quotas": Quotas(default={"vcpus": 64}),
    }
    assert notes(builders.hgx(), **keys) == [
        (
            "project p may use flavor gpu.h100-sxm.1, which needs 2 of vcpus, but its quota "
            "of vcpus is 1"
        ),
        (
            "project p may use flavor gpu.h100-sxm.1, which needs 1 of h100-sxm, but its quota of "
            "h100-sxm is 0"
        ),
        (
            "project q may use flavor gpu.h100-sxm.8, which needs 8 of h100-sxm, but its quota of "
            "h100-sxm is 4"
        ),
    ]


def test_every_resource_of_a_generated_flavor_that_nova_counts_has_a_limit(options):
    found = resolved(builders.l40s(), quotas=Quotas(default=dict.fromkeys(AMOUNTS, 9)))
    options(group="filter_scheduler", pci_in_placement=True)
    options(group="pci", alias=[alias.to_json() for alias in found.aliases.values()])
    made, _ = derive_state.make(found)
    limited = {limit.resource for limit in made.limits}
    for flavor in made.flavors:
        counted = deltas(flavor)
        assert counted.keys() <= limited
        assert counted.get("class:DISK_GB", 0) == flavor.disk_gib
        assert counted["class:PCPU"] == flavor.vcpus
        assert counted["class:MEMORY_MB"] == flavor.ram_mib
        # Depends on the installed release of Nova.
        version = importlib.metadata.version("nova").partition(".")[0]
        gpus = flavor.gpus if releases.parse(version).counts_aliases else None
        assert counted.get("class:CUSTOM_GPU_L40S") == gpus
        assert counted.get("class:CUSTOM_GPU_L40S_AUDIO") == gpus


def deltas(flavor):
    """Return what nova-api compares with the limits for one server."""
    requested = Flavor(
        vcpus=flavor.vcpus,
        memory_mb=flavor.ram_mib,
        root_gb=flavor.disk_gib,
        ephemeral_gb=0,
        swap=0,
        extra_specs=flavor.extra_specs,
    )
    if hasattr(utils, "request_spec_for_limits"):
        return placement._get_deltas(utils.request_spec_for_limits(requested, False), 1)
    return placement._get_deltas_by_flavor(requested, False, 1)
