# SPDX-License-Identifier: Apache-2.0
"""Contradictions in a fleet file are reported with line and key."""

import pytest

from nova_gpu_passthrough.fleet.consistency import contradictions
from nova_gpu_passthrough.fleet.model import FleetFile, HostGroup
from tests.unit.fleet.test_store import HEAD
from tests.unit.fleet.test_store import load as load


@pytest.mark.parametrize(
    "more, message",
    [
        (
            "  - name: hgx\n    inventories: [x]\n",
            "fleet.yaml:7: key groups[1].name: hgx occurs twice: see groups[0]",
        ),
        (
            "  - name: b\n    inventories: [x]\n    aggregate: gpu-hgx\n",
            "fleet.yaml:9: key groups[1].aggregate: gpu-hgx occurs twice",
        ),
        ("    metadata: {gpu_mode: mig}\n", "groups[0].metadata.gpu_mode: is set from the group"),
        (
            "    projects: [p]\n    metadata: {filter_tenant_id3: x}\n",
            (
                "fleet.yaml:8: key groups[0].metadata.filter_tenant_id3: is set from the group's "
                "projects"
            ),
        ),
        (
            "    projects: [p, p]\n",
            "fleet.yaml:7: key groups[0].projects[1]: p occurs twice: see projects[0]",
        ),
        (
            "    projects: [p]\nprojects: [{name: p, domain: a}, {name: p, domain: b}]\n",
            (
                "fleet.yaml:7: key groups[0].projects[0]: below projects, p has 2 domains: use the "
                "project's id"
            ),
        ),
        (
            "flavors:\n  - model: X\n    groups: [hgx, hgy]\n",
            "fleet.yaml:9: key flavors[0].groups[1]: there is no group hgy, expected one of: hgx",
        ),
        (
            "  - {name: v, inventories: [x], mode: vgpu}\nflavors: [{model: X, groups: [v]}]\n",
            "fleet.yaml:8: key flavors[0].groups[0]: group v has mode vgpu",
        ),
        (
            "flavors:\n  - model: X\n    name: 'a{aliases}'\n",
            (
                "fleet.yaml:9: key flavors[0].name: 'a{aliases}': unknown placeholder {aliases}; "
                "expected a template with any of {alias}, {model}"
            ),
        ),
        ("flavors: [{model: X, name: 'a{alias'}]\n", "key flavors[0].name: 'a{alias': expected"),
        ("flavors: [{model: X, name: '{}'}]\n", "key flavors[0].name: '{}': unknown placeholder"),
        ("flavors: [{model: X, name: '{count:03}'}]\n", "format or conversion after {count}"),
        ("flavors: [{model: X, name: '{alias.name}'}]\n", "unknown placeholder {alias.name}"),
        (
            "flavors:\n  - model: X\n    extra_specs:\n      hw:numa_nodes: 2\n",
            (
                "fleet.yaml:10: key flavors[0].extra_specs.hw:numa_nodes: is set from other keys: "
                "set numa_nodes"
            ),
        ),
        (
            (
                "fixed_flavors:\n  - {name: a, vcpus: 1, ram_mib: 1}\n"
                "  - {name: a, vcpus: 2, ram_mib: 1}\n"
            ),
            "fleet.yaml:9: key fixed_flavors[1].name: a occurs twice",
        ),
        ("aliases: [{model: X}, {model: X}]\n", "key aliases[1].model: X gpu occurs twice"),
        (
            "aliases: [{model: X, name: a}, {model: Y, name: a}]\n",
            "key aliases[1].name: a occurs twice",
        ),
        (
            "aliases: [{model: X, resource_class: a}, {model: Y, resource_class: A}]\n",
            "key aliases[1].resource_class: A occurs twice",
        ),
        ("aliases: [{model: X, name: vcpus}]\n", "vcpus has another meaning in quotas"),
        ("projects: [{name: p}, {name: p}]\n", "key projects[1].name: p occurs twice"),
        (
            "projects:\n  - name: p\n    quotas: {servers: 1}\n",
            (
                "fleet.yaml:9: key projects[0].quotas.servers: a project can only override a "
                "default: add servers to quotas.default"
            ),
        ),
        (
            "quotas:\n  driver: nova\n  default:\n    h100: 8\n",
            (
                "fleet.yaml:10: key quotas.default.h100: Nova's own quotas do not count GPUs, "
                "expected one of servers, vcpus, ram_mib; set quotas.driver: unified-limits to "
                "limit GPUs"
            ),
        ),
        (
            "quotas:\n  driver: nova\n  default:\n    disk_gib: 8\n",
            (
                "fleet.yaml:10: key quotas.default.disk_gib: Nova's own quotas do not count disk, "
                "expected one of servers, vcpus, ram_mib; set quotas.driver: unified-limits to "
                "limit disk"
            ),
        ),
    ],
)
def test_contradictions_are_reported_with_line_and_key(load, more, message):
    assert message in load(HEAD + more)


def test_projects_of_one_name_in_two_domains_are_different(load):
    file = load(HEAD + "projects: [{name: p, domain: a}, {name: p, domain: b}, {name: p}]\n")
    assert len(file.projects) == 3


def test_nova_s_own_quotas_count_servers_vcpus_and_memory(load):
    file = load(HEAD + "quotas: {driver: nova, default: {servers: 1, vcpus: 2, ram_mib: 3}}\n")
    assert file.quotas.default == {"servers": 1, "vcpus": 2, "ram_mib": 3}


def test_aggregates_are_named_after_their_groups():
    group = HostGroup("a", ("x",))
    assert group.aggregate_name == "gpu-a"
    assert HostGroup("a", ("x",), aggregate="b").aggregate_name == "b"
    assert list(contradictions(FleetFile("f", (group,)))) == []
