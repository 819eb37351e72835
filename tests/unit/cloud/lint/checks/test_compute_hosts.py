# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from nova_gpu_passthrough.cloud.view.model import Resource
from tests.unit.cloud.lint.builders import Site
from tests.unit.cloud.lint.clouds import clean_cloud, with_host
from tests.unit.generate.builders import hgx


def changed(site, **changes):
    """Return the clean cloud with the H100 host changed."""
    return with_host(clean_cloud(site), "hgx1", lambda host: dataclasses.replace(host, **changes))


def test_a_cloud_that_matches_the_fleet_file_has_no_findings(site, all_findings):
    site.cloud = clean_cloud(site)
    assert all_findings(site) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"provider": None}, "not in Placement"), ({"known": False}, "not in Nova")],
)
def test_a_missing_host_is_reported(site, only_finding, changes, words):
    site.cloud = changed(site, **changes)
    finding = only_finding(site)
    assert (finding.id, finding.subject) == ("host.missing", "host hgx1")
    assert words in finding.found


def test_a_host_that_is_not_in_the_cloud_view_is_reported(site, only_finding):
    cloud = clean_cloud(site)
    view = dataclasses.replace(cloud.view, hosts=cloud.view.hosts[1:])
    site.cloud = dataclasses.replace(cloud, view=view)
    assert only_finding(site).id == "host.missing"


@pytest.mark.parametrize(
    ("changes", "identity"),
    [
        ({"up": False}, "host.down"),
        ({"enabled": False, "disabled_reason": "broken fan"}, "host.disabled"),
    ],
)
def test_a_service_that_is_down_or_disabled_is_reported(site, only_finding, changes, identity):
    site.cloud = changed(site, **changes)
    finding = only_finding(site)
    assert (finding.id, finding.severity) == (identity, "warning")
    assert changes.get("disabled_reason", "down") in finding.found


@pytest.mark.parametrize(
    ("name", "change", "identity"),
    [
        ("MEMORY_MB", {"allocation_ratio": 1.5}, "host.overcommit"),
        ("MEMORY_MB", {"reserved": 512}, "host.reserved_memory"),
        ("PCPU", {"total": 4}, "host.cpus"),
        ("VCPU", {"total": 64}, "host.cpus"),
    ],
)
def test_resources_that_differ_from_the_fleet_file_are_reported(
    site, only_finding, name, change, identity
):
    cloud = clean_cloud(site)
    old = cloud.view.hosts[0].resources
    site.cloud = changed(site, resources={**old, name: dataclasses.replace(old[name], **change)})
    finding = only_finding(site)
    assert (finding.id, finding.subject) == (identity, "host hgx1")


def test_a_host_without_pinned_cpus_is_reported(site, only_finding):
    old = clean_cloud(site).view.hosts[0].resources
    resources = {"MEMORY_MB": old["MEMORY_MB"], "VCPU": Resource(old["VCPU"].total)}
    site.cloud = changed(site, resources=resources)
    assert "it has 0 PCPU" in only_finding(site).found


def test_a_gpu_host_that_is_not_in_the_fleet_is_reported(site, only_finding):
    cloud = clean_cloud(site)
    other = dataclasses.replace(cloud.view.hosts[0], name="new", group=None)
    view = dataclasses.replace(cloud.view, hosts=(*cloud.view.hosts, other))
    site.cloud = dataclasses.replace(cloud, view=view)
    finding = only_finding(site)
    assert (finding.id, finding.subject) == ("host.not_in_fleet", "host new")


def test_a_missing_trait_that_restricts_flavors_to_a_group_is_reported(tmp_path, all_findings):
    site = Site(
        tmp_path,
        inventories=[hgx("hgx1"), hgx("other1")],
        groups=[
            {"name": "a", "inventories": ["hgx1.yaml"]},
            {"name": "b", "inventories": ["other1.yaml"]},
        ],
        flavors=[{"model": "H100-SXM", "groups": ["a"]}],
    )
    site.cloud = clean_cloud(site)
    assert all_findings(site) == [("host.traits", "host hgx1", "failure")]
    trait = next(t for t in site.desired.traits if "GPU_GROUP" in t)
    site.cloud = changed(site, traits=frozenset((trait,)))
    assert all_findings(site) == []
