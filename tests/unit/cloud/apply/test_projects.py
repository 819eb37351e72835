# SPDX-License-Identifier: Apache-2.0
import pytest

from nova_gpu_passthrough.cloud.apply.projects import Projects, UnknownProject
from nova_gpu_passthrough.fleet.desired_state import ProjectName
from tests.unit.cloud.apply.direct import DirectApi


@pytest.fixture
def keystone(direct):
    direct.keystone.domains["other"] = {"id": "other", "name": "Other"}
    return direct.keystone


@pytest.fixture
def find(direct, keystone):
    return lambda name, domain=None: Projects(DirectApi(direct)).id(ProjectName(name, domain))


def test_a_project_is_found_by_name_or_id(find):
    assert find("research") == "id-research"
    assert find("id-research") == "id-research"


@pytest.mark.parametrize("domain", ["other", "Other"])
def test_a_domain_is_found_by_name_or_id(find, keystone, domain):
    keystone.projects["2"] = {"id": "2", "name": "research", "domain_id": "other"}
    assert find("research", domain) == "2"


def test_a_project_of_another_domain_is_another_one(find):
    with pytest.raises(UnknownProject, match="there is no project research in domain Other"):
        find("research", "Other")
    with pytest.raises(UnknownProject, match="there is no project id-research in domain Other"):
        find("id-research", "Other")


def test_without_domain_the_only_project_of_the_name_is_used(find, keystone):
    keystone.projects["2"] = {"id": "2", "name": "lab", "domain_id": "other"}
    assert find("lab") == "2"


def test_without_domain_the_one_in_the_callers_domain_is_used(direct, keystone):
    keystone.projects["2"] = {"id": "2", "name": "research", "domain_id": "other"}
    api = DirectApi(direct)
    api.project_domain_id = "other"
    assert Projects(api).id(ProjectName("research")) == "2"


def test_without_domain_the_one_in_the_default_domain_comes_last(find, keystone):
    keystone.projects["2"] = {"id": "2", "name": "research", "domain_id": "other"}
    assert find("research") == "id-research"


def test_an_ambiguous_project_needs_a_domain(find, keystone):
    for domain_id in ("2", "3"):
        keystone.domains[domain_id] = {"id": domain_id, "name": domain_id}
        project = {"id": domain_id, "name": "lab", "domain_id": domain_id}
        keystone.projects[domain_id] = project
    with pytest.raises(UnknownProject, match="there are 2 projects lab: name the domain"):
        find("lab")


@pytest.mark.parametrize(
    ("name", "domain", "words"),
    [
        ("ghost", None, "there is no project ghost"),
        ("research", "ghost", "there is no domain ghost"),
    ],
)
def test_unknown_projects_and_domains_are_errors(find, name, domain, words):
    with pytest.raises(UnknownProject, match=words):
        find(name, domain)


def test_each_is_looked_up_once(direct):
    projects = Projects(DirectApi(direct))
    for _ in range(3):
        projects.id(ProjectName("research"))
        assert projects.name("id-research") == "research"
        with pytest.raises(UnknownProject):
            projects.id(ProjectName("ghost"))
    assert direct.requested == [
        "GET /projects?name=research",
        "GET /projects?name=ghost",
        "GET /projects/ghost",
    ]


def test_the_name_of_a_deleted_project_is_its_id(direct):
    assert Projects(DirectApi(direct)).name("gone") == "gone"
