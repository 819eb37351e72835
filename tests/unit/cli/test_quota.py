# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu quota list`` with a fake cloud."""

import json

import pytest

from tests.unit.cli.clouds import cloud as cloud
from tests.unit.cli.clouds import named as named
from tests.unit.cloud.quota.builders import H100, use, use_unified_limits


@pytest.fixture
def quotas(named):
    """Eight H100 for research, of which it uses three; nothing for others."""
    use_unified_limits(named)
    named.keystone.limit(H100, 8, "research")
    use(named, "research", {"CUSTOM_GPU_H100_SXM": 3})
    return named


@pytest.fixture
def run(nova_gpu, quotas):
    def run(*arguments, user="test", formatter="json"):
        options = ("--os-cloud", user, "quota", "list", "-f", formatter)
        status, out, err = nova_gpu(*options, *arguments)
        return status, json.loads(out) if formatter == "json" and not status else out, err

    return run


RESEARCH = {"Project": "research", "Model": "H100-SXM", "Limit": 8, "Used": 3, "Left": 5}
OTHERS = "2 projects use no GPUs and have the default limits: H100-SXM 0, L40S 0\n"


def test_projects_with_limits_or_gpus_are_listed(run):
    assert run() == (0, [RESEARCH], OTHERS)


def test_a_table(run):
    _, out, _ = run(formatter="table")
    assert "| research | H100-SXM |     8 |    3 |    5 |" in out


def test_all_projects(run):
    status, rows, err = run("--all", "--long")
    assert (status, err) == (0, "")
    assert [(row["Project"], row["Model"], row["Limit From"]) for row in rows] == [
        ("admin", "H100-SXM", "default"),
        ("admin", "L40S", "default"),
        ("research", "H100-SXM", "project"),
        ("research", "L40S", "default"),
        ("teaching", "H100-SXM", "default"),
        ("teaching", "L40S", "default"),
    ]
    assert (rows[2]["Project ID"], rows[2]["Resource"]) == ("id-research", H100)


@pytest.mark.parametrize("pattern", ["research", "RESEARCH", "id-research", "res*"])
def test_one_project(run, quotas, pattern):
    status, rows, err = run("--project", pattern)
    assert (status, err) == (0, "")
    assert [(row["Project"], row["Model"]) for row in rows] == [
        ("research", "H100-SXM"),
        ("research", "L40S"),
    ]
    assert quotas.requested("usages") == ["GET /placement/usages?project_id=id-research"]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("reserch", "no project is named reserch; did you mean research?"),
        ("x*", "no project matches x*"),
    ],
)
def test_an_unknown_project(run, pattern, words):
    status, out, err = run("--project", pattern)
    assert (status, out, err.splitlines()[-1].endswith(words)) == (2, "", True)


def test_unlimited(run, quotas):
    quotas.keystone.limit("class:CUSTOM_GPU_T4", -1)
    _, rows, _ = run("--project", "research")
    assert rows[2] == {"Project": "research", "Model": "T4", "Limit": None, "Used": 0, "Left": None}
    _, out, _ = run("--project", "research", formatter="table")
    assert "| research | T4       | unlimited |    0 | unlimited |" in out


def test_a_reader_s_own_project_is_listed_with_all_models(run, quotas):
    quotas.fail("GET /identity/v3/projects$", 403)
    status, rows, err = run(user="tenant")
    assert [(row["Project"], row["Model"]) for row in rows] == [
        ("admin", "H100-SXM"),
        ("admin", "L40S"),
    ]
    assert (status, err) == (0, "only project admin is shown: all projects need role admin\n")


def test_without_any_limit_or_use(nova_gpu, named):
    status, out, err = nova_gpu("--os-cloud", "test", "quota", "list")
    assert (status, out) == (0, "")
    assert err.splitlines()[-1] == "No GPUs are limited or in use"


def test_nobody_uses_gpus(nova_gpu, named):
    use_unified_limits(named)
    _, _, err = nova_gpu("--os-cloud", "test", "quota", "list")
    assert err.splitlines() == [
        "3 projects use no GPUs and have the default limits: H100-SXM 0, L40S 0",
        "No project uses GPUs or has a limit of its own: see --all",
    ]


def test_a_refusal_names_the_role(run, quotas):
    quotas.fail("GET .*/usages", 403, {"errors": [{"detail": "no"}]})
    quotas.keystone.roles["alice"] = ["other"]
    status, _, err = run(user="tenant")
    assert status == 2
    assert "needs role reader; user alice has only other in project admin (Placement refused" in err


def test_an_invalid_fleet_file_is_reported_first(run, quotas, tmp_path):
    file = tmp_path / "fleet.yaml"
    file.write_text("schema: other")
    status, _, err = run("--fleet", file)
    assert (status, str(file) in err) == (2, True)
    assert not quotas.requests
