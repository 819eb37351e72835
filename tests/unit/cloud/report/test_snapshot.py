# SPDX-License-Identifier: Apache-2.0
"""Reading a cloud for metrics and page, over HTTP."""

import pytest
from openstack import exceptions

from nova_gpu_passthrough.cloud.report import snapshot, tables
from nova_gpu_passthrough.cloud.report.metrics import families
from nova_gpu_passthrough.cloud.report.page import page
from tests.unit.cloud.report import fleets


def test_an_empty_cloud(cloud):
    found = snapshot.take(cloud.connection())
    assert found.view.hosts == ()
    assert found.projects["id-research"] == "research"
    assert (found.fleet, found.cloud, found.notes) == ("", "RegionOne", ())
    assert "There are no GPU hosts." in page.render(found)
    assert {family.name for family in families(found)} >= {"nova_gpu_devices"}


def test_without_a_fleet_it_is_known_that_nothing_was_counted(cloud):
    found = snapshot.take(cloud.connection())
    assert not found.counted
    assert any("--fleet" in note for note in tables.notes(found))


def test_names_are_not_asked_for_where_nobody_reads_them(cloud):
    found = snapshot.take(cloud.connection(), names=False)
    assert found.projects == {}
    assert cloud.asked("/projects") == []


def test_where_keystone_tells_no_names_the_ids_stand_for_them(cloud):
    cloud.fail("GET .*/projects", 403)
    found = snapshot.take(cloud.connection())
    assert found.projects == {}
    assert "Keystone does not tell" in tables.notes(found)[-1]


def test_another_failure_is_one(cloud):
    cloud.fail("GET .*/projects", 404)
    with pytest.raises(exceptions.HttpException):
        snapshot.take(cloud.connection())


def test_servers_and_projects_by_their_ids():
    found = fleets.four()
    key = found.view.hosts[0].gpus[0].consumers[0]
    assert found.servers[key].name == "train-1"
    assert found.project(found.servers[key]) == "research"
    assert "too-big" in {server.name for server in found.servers.values()}
    stranger = fleets.server(99, project="p9")
    assert found.project(stranger) == "p9"
