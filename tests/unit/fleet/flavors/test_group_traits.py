# SPDX-License-Identifier: Apache-2.0
"""Traits that restrict flavors to the hosts of some groups, and the files that set them."""

import yaml
from nova.compute import provider_config

from nova_gpu_passthrough.fleet import derive_state
from nova_gpu_passthrough.fleet.flavors import group_traits
from nova_gpu_passthrough.fleet.model import FlavorRule
from nova_gpu_passthrough.fleet.offers import CONTROL
from nova_gpu_passthrough.fleet.settings import DeploymentTarget
from nova_gpu_passthrough.generate import render
from nova_gpu_passthrough.generate.provider_config import PATH
from tests.unit.generate import builders
from tests.unit.generate.fleets import resolved


def fleet(*rules):
    members = {
        "a": [builders.hgx("a1"), builders.hgx("a2")],
        "b": [builders.hgx("b1")],
        "c": [builders.hgx("c1"), builders.l40s("c2")],
    }
    return resolved(groups=members, flavors=rules)


def traits(*rules):
    found = fleet(*rules)
    return group_traits.traits_by_host(found.file, found.offers, found.aliases, found.groups)


def files(target, *rules):
    found = fleet(*rules)
    settings = builders.dataclasses.replace(found.settings, target=target)
    found = builders.dataclasses.replace(found, settings=settings)
    _, plan = derive_state.make(found)
    made = render.generate_fleet(found, plan, "nova-gpu config generate --fleet f")
    return {(file.host, file.path): file.text for file in made.files}, made.notes


ONLY_A = FlavorRule("H100-SXM", (1,), "a", groups=("a",))


def test_hosts_of_the_groups_have_the_trait():
    assert traits(ONLY_A) == {"a1": ("CUSTOM_GPU_GROUP_A",), "a2": ("CUSTOM_GPU_GROUP_A",)}


def test_a_rule_for_several_groups_has_its_own_trait():
    both = FlavorRule("H100-SXM", (1,), "ab", groups=("b", "a"))
    assert traits(ONLY_A, both) == {
        "a1": ("CUSTOM_GPU_GROUP_A", "CUSTOM_GPU_GROUP_A_B"),
        "a2": ("CUSTOM_GPU_GROUP_A", "CUSTOM_GPU_GROUP_A_B"),
        "b1": ("CUSTOM_GPU_GROUP_A_B",),
    }


def test_there_is_no_trait_if_no_other_group_has_the_model():
    assert traits(FlavorRule("L40S", (1,), "l", groups=("c",)), FlavorRule("H100-SXM")) == {}


def test_nova_reads_the_file(tmp_path):
    texts, _ = files(DeploymentTarget.PLAIN, ONLY_A)
    assert {host for host, path in texts if path == PATH} == {"a1", "a2"}
    (tmp_path / "gpu.yaml").write_text(texts["a1", PATH], encoding="utf-8")
    (found,) = provider_config.get_provider_configs(str(tmp_path)).items()
    name, provider = found
    assert name == "$COMPUTE_NODE"
    assert list(provider["traits"]["additional"]) == ["CUSTOM_GPU_GROUP_A"]


def test_devstack_has_the_same_file():
    assert (
        files(DeploymentTarget.DEVSTACK, ONLY_A)[0]["a1", PATH].split("\n", 2)[2]
        == (files(DeploymentTarget.PLAIN, ONLY_A)[0]["a1", PATH].split("\n", 2)[2])
    )


def test_kolla_has_the_traits_in_variables_of_the_host():
    texts, notes = files(DeploymentTarget.KOLLA, ONLY_A)
    path = "etc/kolla/host_vars/a1/gpu-passthrough.yml"
    variables = yaml.safe_load(texts[CONTROL, path])
    plain = yaml.safe_load(files(DeploymentTarget.PLAIN, ONLY_A)[0]["a1", PATH])
    assert variables == {"nova_cell_compute_provider_config": plain}
    assert any("etc/kolla/host_vars" in str(note) for note in notes)
    assert not any("host_vars" in str(note) for note in files(DeploymentTarget.KOLLA)[1])


def test_there_is_no_file_without_such_rules():
    assert not [path for _, path in files(DeploymentTarget.PLAIN)[0] if path == PATH]
