# SPDX-License-Identifier: Apache-2.0
"""Lint reports nothing for generated configuration."""

import pytest
from hypothesis import HealthCheck, given, settings

from nova_gpu_passthrough.cloud.lint import checks
from nova_gpu_passthrough.cloud.lint.configuration import named_files
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet import derive_state
from tests.unit.cloud.lint.builders import Site, resolved
from tests.unit.generate.builders import hgx, inventories, l40s, with_vfs


@pytest.mark.parametrize("release", [31, 32, 33, 34])
def test_generated_configuration_is_clean_with_every_release(tmp_path, release):
    site = Site(tmp_path, settings={"release": release, "one_time_use": True})
    assert checks.findings(site.facts()) == ()


@pytest.mark.parametrize(
    "given_settings",
    [
        {"hugepages": True},
        {"numa_policy": "preferred", "policy": "spread", "host_cores": 2},
        {"nics": ["hgx1/0000:40:00.0"], "exclude": ["l40s1/0000:41:00.0"]},
        {"enabled_filters": ["ComputeFilter", "NUMATopologyFilter"]},
        {"reserved_host_memory_mb": 32768},
        {"headless": True},
    ],
)
def test_generated_configuration_is_clean_with_every_setting(tmp_path, given_settings):
    assert checks.findings(Site(tmp_path, settings=given_settings).facts()) == ()


def test_generated_configuration_is_clean_for_vfs_and_mixed_types(tmp_path):
    mixed = l40s("mixed1")
    site = Site(tmp_path, inventories=[with_vfs("vf1"), hgx("hgx1", links=False), mixed])
    assert checks.findings(site.facts()) == ()


def test_a_fleet_without_passthrough_requires_no_configuration(tmp_path):
    """Its hosts are still compute nodes, which are checked in the cloud."""
    fleet = resolved(tmp_path, groups=[{"name": "v", "mode": "vgpu", "inventories": ["*1.yaml"]}])
    (tmp_path / "nova.conf").write_text("[api_database]\nconnection = x\n")
    services = named_files.find([f"ctl={tmp_path / 'nova.conf'}"], set(fleet.inventories))
    facts = Facts(fleet, *derive_state.make(fleet), services)
    assert checks.findings(facts) == ()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hosts=inventories())
def test_generated_configuration_is_clean_for_any_hosts(tmp_path_factory, hosts):
    root = tmp_path_factory.mktemp("any")
    try:
        site = Site(root, inventories=hosts, groups=[{"name": "a", "inventories": ["*.yaml"]}])
    except UserError:
        return
    assert checks.findings(site.facts()) == ()
