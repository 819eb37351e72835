# SPDX-License-Identifier: Apache-2.0
"""Names of projects and users from Keystone."""

import pytest
from openstack import exceptions

from nova_gpu_passthrough.cloud.view import owners
from nova_gpu_passthrough.cloud.view.reader import CloudReader
from tests.unit.cloud.report import fleets


def server(number, user="id-alice", project="id-research"):
    return fleets.server(number, project=project, user_id=user)


def read(cloud, *servers):
    return owners.read(CloudReader(cloud.connection()), servers)


def test_names_by_id(cloud):
    found = read(cloud, server(1), server(2, "id-admin", "id-teaching"), server(3))
    assert (found.project(server(2, project="id-teaching")), found.notes) == ("teaching", ())
    assert [found.user(server(1)), found.user(server(2, "id-admin"))] == ["alice", "admin"]
    # Each user is read once, and no other.
    assert len(cloud.requested("/users/")) == 2


def test_ids_stand_for_what_keystone_does_not_know(cloud):
    found = read(cloud, server(1, "id-deleted", "id-gone"), server(2))
    assert found.user(server(1, "id-deleted")) == "id-deleted"
    assert found.project(server(1, project="id-gone")) == "id-gone"
    assert found.user(server(2)) == "alice"
    assert found.notes == ()


def test_a_server_in_an_unreachable_cell_has_no_user(cloud):
    found = read(cloud, server(1, ""))
    assert found.user(server(1, "")) == ""
    assert cloud.requested("/users/") == []


def test_equal_names_of_two_domains_are_told_apart(cloud):
    cloud.keystone.projects["p9"] = {"id": "p9", "name": "research", "domain_id": "other"}
    found = read(cloud)
    assert found.projects["p9"] == "research (p9)"
    assert found.projects["id-research"] == "research (id-research)"
    assert found.projects["id-teaching"] == "teaching"


@pytest.mark.parametrize(
    "refused, words",
    [
        (["/projects"], "projects"),
        (["/users/.*"], "users"),
        (["/projects", "/users/.*"], "projects and users"),
    ],
)
def test_what_keystone_refuses_is_one_note(cloud, refused, words):
    for path in refused:
        cloud.fail(f"GET .*{path}", 403)
    found = read(cloud, server(1), server(2, "id-admin"))
    assert found.notes == (f"Keystone does not permit reading the names of {words}: ids are shown",)
    assert (found.projects == {}) == ("/projects" in refused)
    assert (found.users == {}) == ("/users/.*" in refused)
    if "/users/.*" in refused:
        assert len(cloud.requested("/users/")) == 1


def test_other_failures_are_raised(cloud):
    cloud.fail("GET .*/users/.*", 500)
    with pytest.raises(exceptions.HttpException):
        read(cloud, server(1))
