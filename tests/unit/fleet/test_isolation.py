# SPDX-License-Identifier: Apache-2.0
"""Hosts that only some projects use: filters, aggregates and notes."""

import pytest

from nova_gpu_passthrough.fleet import derive_state, isolation
from nova_gpu_passthrough.fleet.desired_state import ProjectName
from nova_gpu_passthrough.fleet.model import FlavorRule, Project
from nova_gpu_passthrough.fleet.settings import ENABLED_FILTERS, Settings
from nova_gpu_passthrough.nova_rules.filters.aggregate_filters import TENANT_KEY
from tests.unit.generate import builders
from tests.unit.generate.fleets import resolved

GROUPS = {"a": [builders.hgx("a1")], "b": [builders.hgx("b1"), builders.l40s("b2")]}
FLAVORS = (FlavorRule("H100-SXM", counts=(1,)), FlavorRule("L40S", counts=(1,)))


def fleet(owners=None, flavors=FLAVORS, **keys):
    return resolved(groups=GROUPS, owners=owners or {"a": ("lab",)}, flavors=flavors, **keys)


def notes(**keys):
    found, plan = derive_state.make(fleet(**keys))
    return [str(note) for note in plan.notes if "project" in str(note)]


def test_the_filter_is_enabled_first_if_a_group_names_projects():
    assert fleet().settings.enabled_filters == (isolation.FILTER, *ENABLED_FILTERS)
    assert resolved(groups=GROUPS).settings.enabled_filters == ENABLED_FILTERS


def test_the_operators_place_of_the_filter_is_kept():
    filters = ("ComputeFilter", isolation.FILTER)
    found = fleet(settings=Settings(enabled_filters=filters))
    assert found.settings.enabled_filters == filters


def test_an_aggregate_has_the_projects_of_its_group_with_their_domains():
    made, _ = derive_state.make(
        fleet(owners={"a": ("lab", "x")}, projects=(Project("lab", "research"),))
    )
    first, second = made.aggregates
    assert first.projects == (ProjectName("lab", "research"), ProjectName("x"))
    assert second.projects is None
    assert not [key for key in first.metadata if key.startswith(TENANT_KEY)]


def test_a_project_with_flavors_and_hosts_is_not_mentioned():
    # The hosts of group b are for everyone.
    assert notes(projects=(Project("lab", flavors=("*",)), Project("x", flavors=("*",)))) == []


def test_a_project_whose_flavors_boot_only_on_hosts_of_others_is_reported():
    both = {"a": ("lab",), "b": ("lab",)}
    projects = (Project("lab", flavors=("*",)), Project("x", flavors=("*h100*",)))
    assert notes(owners=both, projects=projects) == [
        (
            "project x may use gpu.h100-sxm.1, but all hosts that can boot them are for other "
            "projects (groups[].projects)"
        )
    ]


@pytest.mark.parametrize("flavors", [(), ("*l40s*",)])
def test_a_project_with_hosts_and_no_flavor_for_them_is_reported(flavors):
    lab = Project("lab", flavors=flavors)
    assert notes(projects=(lab, Project("x", flavors=("*",)))) == [
        (
            "group a is for project lab, which may use no flavor for its GPUs: give it some below "
            "projects"
        )
    ]


def test_public_flavors_are_for_every_project():
    public = (FlavorRule("H100-SXM", public=True), FlavorRule("L40S"))
    assert notes(flavors=public) == []
