# SPDX-License-Identifier: Apache-2.0
"""Reading a cloud for metrics and page over HTTP."""

import pytest
from openstack import exceptions

from nova_gpu_passthrough.cloud.report import html_page, snapshot, tables
from nova_gpu_passthrough.cloud.report.metrics import families
from tests.unit.cloud.report import fleets


def test_an_empty_cloud(cloud):
    found = snapshot.take(cloud.connection())
    assert found.view.hosts == ()
    assert found.owners.projects["id-research"] == "research"
    assert (found.fleet, found.cloud, found.notes) == ("", "RegionOne", ())
    assert "There are no GPU hosts." in html_page.render(found)
    assert {family.name for family in families(found)} >= {"nova_gpu_devices"}


def test_without_a_fleet_capacity_is_not_counted(cloud):
    found = snapshot.take(cloud.connection())
    assert not found.counted
    assert any("--fleet" in note for note in tables.notes(found))


def test_names_of_projects_are_optional(cloud):
    found = snapshot.take(cloud.connection(), names=False)
    assert found.owners.projects == {}
    assert cloud.requested("/projects") == []


def test_without_permission_to_list_projects_ids_are_shown(cloud):
    cloud.fail("GET .*/projects", 403)
    found = snapshot.take(cloud.connection())
    assert found.owners.projects == {}
    assert "Keystone does not permit reading the names of projects" in tables.notes(found)[-1]


def test_other_errors_of_keystone_are_raised(cloud):
    cloud.fail("GET .*/projects", 404)
    with pytest.raises(exceptions.HttpException):
        snapshot.take(cloud.connection())


def test_servers_and_projects_by_their_ids():
    found = fleets.four()
    key = found.view.hosts[0].gpus[0].consumers[0]
    assert found.view.servers[key].name == "train-1"
    assert found.owners.project(found.view.servers[key]) == "research"
    assert "too-big" in {server.name for server in found.view.servers.values()}
    assert "too-big" not in {server.name for server in found.view.device_servers}
    unknown = fleets.server(99, project="p9")
    assert found.owners.project(unknown) == "p9"
