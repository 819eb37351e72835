# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu available`` with a fake cloud."""

import datetime
import json

import pytest

from nova_gpu_passthrough.cloud.report import availability
from nova_gpu_passthrough.cloud.report.availability import (
    Availability,
    FlavorAvailability,
    flavor_key,
)
from tests.unit.cli.clouds import cloud as cloud
from tests.unit.cli.clouds import named as named
from tests.unit.cloud.quota.builders import H100, use, use_unified_limits

BY_QUOTA = "by quota only: --from URL|FILE with the operator's public report also tells whether a"


@pytest.fixture
def flavors(named):
    """Flavors with one, two and eight GPUs; the project may have four, of which it uses one."""
    use_unified_limits(named)
    named.keystone.limit(H100, 4, "admin")
    use(named, "admin", {"CUSTOM_GPU_H100_SXM": 1})
    found = {
        count: named.nova.add_flavor(
            f"gpu.{count}", 4, 1024, pci_passthrough__alias=f"h100-sxm:{count}"
        )
        for count in (1, 2, 8)
    }
    named.nova.add_flavor("cpu")
    return found


@pytest.fixture
def run(nova_gpu, flavors):
    def run(*arguments, formatter="json"):
        options = ("--os-cloud", "tenant", "available", "-f", formatter)
        status, out, err = nova_gpu(*options, *arguments)
        return status, json.loads(out) if formatter == "json" and status < 2 else out, err

    return run


@pytest.fixture
def publish(flavors, tmp_path):
    """Write the public document with numbers of servers by GPUs of a flavor; return its path."""

    def write(servers, ago=0, exact=True, reserved=0):
        now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=ago)
        file = tmp_path / "gpus.json"
        entries = tuple(
            FlavorAvailability(
                flavor_key(flavors[count]["id"]),
                None,
                "H100-SXM",
                count,
                4,
                1024,
                number,
                reserved,
                exact,
            )
            for count, number in servers.items()
        )
        document = Availability(f"{now:%Y-%m-%dT%H:%M:%SZ}", (), entries)
        file.write_text(availability.dump(document))
        return file

    return write


def test_by_quota_only(run):
    status, rows, err = run()
    assert status == 0
    assert rows == [
        {
            "Flavor": "gpu.1",
            "GPUs": 1,
            "Servers": 3,
            "By Quota": 3,
            "By Fleet": None,
            "Limited By": "3 of 4 H100-SXM left",
        },
        {
            "Flavor": "gpu.2",
            "GPUs": 2,
            "Servers": 1,
            "By Quota": 1,
            "By Fleet": None,
            "Limited By": "3 of 4 H100-SXM left",
        },
        {
            "Flavor": "gpu.8",
            "GPUs": 8,
            "Servers": 0,
            "By Quota": 0,
            "By Fleet": None,
            "Limited By": "3 of 4 H100-SXM left",
        },
    ]
    assert err.startswith(BY_QUOTA)
    assert err.count("\n") == 1


def test_by_quota_and_fleet(run, publish):
    status, rows, err = run("--from", publish({1: 2, 2: 1, 8: 0}, ago=5))
    assert status == 0
    assert [(row["Servers"], row["By Fleet"], row["Limited By"]) for row in rows] == [
        (2, 2, "fleet"),
        (1, 1, "3 of 4 H100-SXM left; fleet"),
        (0, 0, "3 of 4 H100-SXM left; no host has room"),
    ]
    assert err.startswith("the fleet is as of ")
    assert err.endswith(" UTC, 5 minutes ago\n")


def test_the_page_may_be_named_by_the_environment(run, publish, monkeypatch):
    monkeypatch.setenv("NOVA_GPU_AVAILABILITY", str(publish({1: 2})))
    _, rows, err = run("gpu.1")
    assert rows[0]["By Fleet"] == 2
    assert BY_QUOTA not in err


@pytest.mark.parametrize(
    ("ago", "words"),
    [(0, "less than a minute"), (1, "1 minute"), (150, "2 hours"), (1500, "1 day")],
)
def test_the_age_of_the_page(run, publish, ago, words):
    assert run("--from", publish({1: 2, 2: 1, 8: 0}, ago))[2].endswith(f"{words} ago\n")


def test_a_flavor_that_the_page_does_not_have(run, publish):
    _, rows, err = run("--from", publish({1: 2, 2: 1}, exact=False))
    assert rows[2]["By Fleet"] is None
    assert err.splitlines()[1:] == [
        "the published page has no gpu.8: it may be older than the flavor",
        "By Fleet is not exact for gpu.1, gpu.2",
    ]


def test_hosts_that_only_some_projects_may_use(run, publish):
    _, rows, err = run("gpu.1", "--from", publish({1: 2}, reserved=4))
    assert rows[0]["By Fleet"] == 2
    assert err.splitlines()[1] == (
        "more servers fit on hosts that only some projects may use, perhaps yours: 4 of gpu.1"
    )


def test_a_page_without_numbers(run, tmp_path):
    file = tmp_path / "gpus.json"
    file.write_text(availability.dump(Availability("2026-01-01T00:00:00Z", (), None)))
    _, _, err = run("--from", file)
    assert "it was made without a fleet file" in err


@pytest.mark.parametrize(("name", "expected"), [("gpu.1", 0), ("gpu.8", 1)])
def test_the_exit_status_tells_whether_a_server_could_boot(run, name, expected):
    status, rows, _ = run(name)
    assert status == expected
    assert [row["Flavor"] for row in rows] == [name]


def test_a_flavor_by_its_id(run, flavors):
    assert [row["Flavor"] for row in run(flavors[2]["id"])[1]] == ["gpu.2"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpu.3", "your project has no flavor gpu.3; did you mean gpu.8 or gpu.2 or gpu.1?"),
        ("cpu", "flavor cpu requests no GPUs"),
    ],
)
def test_other_flavors(run, name, words):
    status, _, err = run(name)
    assert status == 2
    assert err.endswith(f"{words}\n")


def test_without_limits(run, flavors, named):
    for limit in (*named.keystone.registered_limits.values(), *named.keystone.limits.values()):
        limit.update({key: -1 for key in limit if key.endswith("_limit")})
    named.nova.default_quotas = {**dict.fromkeys(named.nova.default_quotas, -1), "key_pairs": 0}
    _, out, _ = run("gpu.1", formatter="table")
    assert "| gpu.1  |    1 | unlimited | unlimited |" in out
    assert run("gpu.1")[1][0]["Servers"] is None


def test_long(run):
    _, rows, _ = run("gpu.2", "--long")
    assert (rows[0]["Model"], rows[0]["VCPUs"], rows[0]["RAM MiB"]) == ("H100-SXM", 4, 1024)


def test_a_project_without_gpu_flavors(nova_gpu, named):
    use_unified_limits(named)
    status, out, err = nova_gpu("--os-cloud", "tenant", "available")
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == "Project admin may use no flavor with GPUs: ask the operator"


def test_only_what_a_reader_may_read_is_requested(run, named):
    run()
    assert (
        named.requested("/projects|all_tenants|os-flavor-access|resource_providers|is_public") == []
    )


def test_an_invalid_page_is_reported_before_any_request(run, named, tmp_path):
    named.requests.clear()
    status, _, err = run("--from", tmp_path / "missing.html")
    assert status == 2
    assert "No such file" in err
    assert not named.requests
