# SPDX-License-Identifier: Apache-2.0
import pytest

from nova_gpu_passthrough.cloud.quota import project_quotas
from nova_gpu_passthrough.cloud.quota.model import ActiveDriver, LimitOrigin
from nova_gpu_passthrough.errors import UserError
from tests.unit.cloud import clouds
from tests.unit.cloud.quota.builders import H100, L40S, use, use_unified_limits
from tests.unit.generate import builders


def read(cloud, user="admin", **arguments):
    return project_quotas.read(cloud.connection(user), **arguments)


def numbers(quotas, resource=H100):
    """Return limit, usage and rest of a resource by name of the project."""
    found = {project.name: project.quotas[resource] for project in quotas.projects}
    return {name: (one.limit, one.used, one.left) for name, one in found.items()}


def test_limits_of_projects_and_defaults_with_what_is_used(cloud):
    use_unified_limits(cloud)
    cloud.keystone.limit(H100, 8, "research")
    use(cloud, "research", {"CUSTOM_GPU_H100_SXM": 2, "VCPU": 4})
    use(cloud, "research", {"CUSTOM_GPU_H100_SXM": 1})
    quotas = read(cloud)
    assert (quotas.driver, quotas.all_projects, quotas.notes) == (
        ActiveDriver.UNIFIED_LIMITS,
        True,
        (),
    )
    assert quotas.models == {H100: "H100-SXM", L40S: "L40S"}
    assert numbers(quotas) == {"admin": (0, 0, 0), "research": (8, 3, 5), "teaching": (0, 0, 0)}
    assert numbers(quotas, L40S)["research"] == (0, 0, 0)
    _, research, _ = quotas.projects
    assert research.quotas[H100].origin is LimitOrigin.PROJECT
    assert research.quotas[L40S].origin is LimitOrigin.DEFAULT


def test_servers_that_move_count_twice_as_in_nova(cloud):
    use_unified_limits(cloud, h100=4)
    use(cloud, "research", {"CUSTOM_GPU_H100_SXM": 2})
    use(cloud, "research", {"CUSTOM_GPU_H100_SXM": 2}, kind="MIGRATION")
    assert numbers(read(cloud))["research"] == (4, 4, 0)


def test_more_in_use_than_the_limit_leaves_nothing(cloud):
    use_unified_limits(cloud, h100=1)
    use(cloud, "research", {"CUSTOM_GPU_H100_SXM": 3})
    assert numbers(read(cloud))["research"] == (1, 3, 0)


def test_minus_one_is_no_limit(cloud):
    use_unified_limits(cloud, h100=-1)
    assert numbers(read(cloud))["research"] == (None, 0, None)
    assert read(cloud).projects[0].quotas[H100].origin is LimitOrigin.DEFAULT


def test_a_resource_in_use_without_a_registered_limit_is_noted(cloud):
    use_unified_limits(cloud, h100=None)
    use(cloud, "research", {"CUSTOM_GPU_H100_SXM": 2})
    quotas = read(cloud)
    assert numbers(quotas)["research"] == (None, 2, None)
    assert quotas.projects[0].quotas[H100].origin is LimitOrigin.NONE
    (note,) = quotas.notes
    assert note == (
        f"Keystone has no registered limit of {H100}, so Nova does not limit it (unless [quota] "
        "unified_limits_resource_list requires one)"
    )


def test_nova_s_own_quotas_limit_no_gpus(cloud):
    for resource in (H100, "servers"):
        cloud.keystone.limit(resource, 4)
    quotas = read(cloud)
    assert quotas.driver is ActiveDriver.NOVA
    assert numbers(quotas)["research"] == (None, 0, None)
    assert "which limit servers, vCPUs and RAM, but no GPUs" in quotas.notes[0]


def test_without_quotas_nothing_is_limited(cloud):
    use_unified_limits(cloud)
    cloud.nova.default_quotas = dict.fromkeys(cloud.nova.default_quotas, -1)
    quotas = read(cloud)
    assert quotas.driver is ActiveDriver.NONE
    assert "Nova limits nothing" in quotas.notes[0]


def test_an_older_nova_does_not_count_gpus(cloud):
    cloud.nova_maximum = "2.103"
    use_unified_limits(cloud)
    assert "Nova is older than 34 (2026.2) and does not count GPUs" in read(cloud).notes[0]


def test_another_enforcement_model_is_noted(cloud):
    use_unified_limits(cloud)
    cloud.keystone.model = "strict_two_level"
    assert "by the model strict_two_level" in read(cloud).notes[0]


def test_a_reader_sees_only_the_own_project(cloud):
    use_unified_limits(cloud)
    cloud.fail("GET /identity/v3/projects$", 403)
    quotas = read(cloud, "alice")
    assert numbers(quotas) == {"admin": (0, 0, 0)}
    assert not quotas.all_projects
    assert quotas.notes == ("only project admin is shown: all projects need role admin",)
    assert cloud.requested("usages") == ["GET /placement/usages?project_id=id-admin"]


def test_whoever_may_list_projects_may_yet_not_read_their_usage(cloud):
    use_unified_limits(cloud)
    cloud.fail("project_id=id-(research|teaching)", 403)
    quotas = read(cloud, "alice")
    assert numbers(quotas) == {"admin": (0, 0, 0)}
    assert not quotas.all_projects


def test_keystone_shows_limits_of_other_projects_only_to_administrators(cloud):
    use_unified_limits(cloud)
    cloud.keystone.limit(H100, 8, "research")
    use(cloud, "research", {"CUSTOM_GPU_H100_SXM": 2})
    # As if policies permitted everything else.
    quotas = read(cloud, "alice")
    assert quotas.all_projects
    assert numbers(quotas)["admin"] == (0, 0, 0)
    assert numbers(quotas)["research"] == (None, 2, None)
    assert quotas.projects[1].quotas[H100].origin is LimitOrigin.UNKNOWN
    assert quotas.notes == ("Keystone lists limits of other projects only to role admin",)


def test_projects_of_one_name_are_told_apart(cloud):
    use_unified_limits(cloud)
    cloud.keystone.projects["second"] = {"id": "second", "name": "research", "domain_id": "lab"}
    assert [project.name for project in read(cloud).projects] == [
        "admin",
        "research (id-research)",
        "research (second)",
        "teaching",
    ]


def test_only_selected_projects_are_asked_about(cloud):
    use_unified_limits(cloud)
    cloud.keystone.limit(H100, 8, "teaching")

    def select(listed, with_limits):
        assert list(with_limits) == ["id-teaching"]
        return [one for one in listed if one.name == "research"]

    quotas = read(cloud, select=select)
    assert list(numbers(quotas)) == ["research"]
    assert cloud.requested("usages") == ["GET /placement/usages?project_id=id-research"]


def test_the_fleet_names_models_of_other_resource_classes(cloud):
    resolved = clouds.fleet(builders.l40s("l40s1"))
    use_unified_limits(cloud)
    quotas = read(cloud, resolved=resolved)
    assert quotas.models == {H100: "H100-SXM", L40S: "L40S"}


def test_resource_classes_that_nova_names(cloud):
    use_unified_limits(cloud)
    cloud.keystone.limit("class:CUSTOM_PCI_10DE_2330", 1)
    cloud.keystone.limit("class:CUSTOM_GPU_L40S_AUDIO", 1)
    cloud.keystone.limit("class:CUSTOM_NIC_CONNECTX_7", 1)
    assert read(cloud).models == {
        H100: "H100-SXM",
        L40S: "L40S",
        "class:CUSTOM_PCI_10DE_2330": "H100-SXM",
    }


def test_limits_of_another_region_do_not_count(cloud):
    use_unified_limits(cloud)
    for limit in cloud.keystone.registered_limits.values():
        limit["region_id"] = "Mars"
    assert read(cloud).models == {}


def test_incomplete_limits_are_an_error(cloud):
    use_unified_limits(cloud)
    cloud.fail("GET /identity/v3/limits", 200, {"limits": [], "truncated": True})
    with pytest.raises(UserError, match="raise list_limit"):
        read(cloud)


def test_a_token_for_no_project_is_an_error(cloud):
    cloud.keystone.project = None
    with pytest.raises(UserError, match="^needs role reader in a project; .* alice is for none"):
        read(cloud, "alice")
