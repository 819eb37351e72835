# SPDX-License-Identifier: Apache-2.0
"""Servers on hosts that are reserved for other projects."""

import dataclasses

import pytest

from tests.unit.cloud.lint.builders import Site
from tests.unit.cloud.lint.clouds import clean_cloud, server, with_host


@pytest.fixture
def reserved(tmp_path):
    """A fleet whose hosts are for the project lab, with a server of each of two projects."""
    groups = [{"name": "all", "inventories": ["*1.yaml"], "projects": ["lab"]}]
    site = Site(tmp_path / "reserved", groups=groups)
    site.cloud = clean_cloud(site)

    def reserve(**metadata):
        servers = tuple(
            server(number, project_id=project) for number, project in enumerate(("id-lab", "id-x"))
        )
        change = {"aggregates": {"gpu-all": metadata}, "servers": servers}
        site.cloud = with_host(site.cloud, "hgx1", lambda host: dataclasses.replace(host, **change))
        return site

    return reserve


def test_servers_of_other_projects_are_reported(reserved, only_finding):
    finding = only_finding(reserved(filter_tenant_id="id-lab"))
    assert (finding.id, finding.severity) == ("host.other_projects", "warning")
    assert finding.subject == "host hgx1"
    assert finding.found == ("servers of other projects than lab: s1 (server-1) of project id-x")
    assert finding.fix == "openstack server migrate server-1"


def test_before_apply_only_the_change_is_reported(reserved, all_findings):
    assert all_findings(reserved()) == []


def test_hosts_of_every_project_may_have_any_server(reserved, all_findings, site):
    reserved(filter_tenant_id="id-lab")
    site.cloud = reserved(filter_tenant_id="id-lab").cloud
    assert all_findings(site) == []
