# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu status`` with a fake cloud."""

import json

import pytest
import yaml

from nova_gpu_passthrough.cli import terminal
from nova_gpu_passthrough.inventory import store
from tests.unit.cli.clouds import cloud as cloud
from tests.unit.cli.clouds import named as named
from tests.unit.cloud import clouds
from tests.unit.cloud.quota.builders import L40S, use_unified_limits
from tests.unit.generate import builders

FLEET = """\
schema: nova-gpu-passthrough/fleet
version: 1
name: test
groups:
  - name: gpus
    inventories: ["l40s*.yaml"]
projects:
  - {name: research, flavors: ["gpu.*"]}
"""
GPUS = [f"0000:{bus:02x}:00.0" for bus in range(0x41, 0x45)]


@pytest.fixture
def hosts(named):
    """Two hosts with four L40S each."""
    inventories = [builders.l40s(host, audio=False) for host in ("l40s1", "l40s2")]
    use_unified_limits(named, h100=None, l40s=8)
    named.keystone.limit("class:DISK_GB", 1000)
    traits = ("COMPUTE_ADDRESS_SPACE_PASSTHROUGH",)
    return clouds.run_computes(named, clouds.fleet(*inventories), traits=traits)


@pytest.fixture
def fleet(hosts, tmp_path, nova_gpu):
    """A fleet file that was applied."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    for host in ("l40s1", "l40s2"):
        text = store.dump(builders.l40s(host, audio=False), "test")
        (folder / f"{host}.yaml").write_text(text)
    file = folder / "fleet.yml"
    file.write_text(FLEET)
    status, _, err = nova_gpu("--os-cloud", "test", "apply", "--fleet", file)
    assert status == 0, err
    return file


@pytest.fixture
def run(nova_gpu, hosts):
    def run(*arguments, user="test"):
        return nova_gpu("--os-cloud", user, "status", *arguments)

    return run


def boot(named, hosts, gpus=2, **changes):
    flavor = next(one for one in named.nova.flavors.values() if one["name"] == f"gpu.l40s.{gpus}")
    changes.setdefault("project", "id-research")
    return clouds.boot(named, hosts, "l40s1", GPUS[:gpus], flavor, "train", **changes)


def test_one_screen(run, named, hosts, fleet, monkeypatch):
    named.keystone.limit(L40S, 4, "research")
    boot(named, hosts)
    status, out, err = run("--fleet", fleet)
    lines = out.splitlines()
    assert (status, err) == (0, "")
    assert lines[0].startswith("GPUs: cloud test, fleet test, ")
    assert lines[1:] == [
        "",
        "Model  Total  In use  Free  Usable  Held  Stuck  Missing",
        "L40S       8       2     6       6     0      0        0",
        "",
        "What still fits  GPUs  Servers  Hosts  Limited by",
        "gpu.l40s.4          4        1      1  gpus",
        "",
        "Nothing needs attention",
        "",
        "Project   Model  Used  Limit",
        "research  L40S      2      4",
    ]


def test_what_needs_attention_gives_status_1(run, named, fleet):
    named.nova.services[0] |= {"status": "disabled", "disabled_reason": "new fans"}
    status, out, _ = run("--fleet", fleet)
    assert status == 1
    _, _, attention = out.partition("Needs attention\n")
    assert attention.splitlines() == [
        "  1 host is disabled (l40s1: new fans)",
        "      nova-gpu host list --long",
    ]


def test_a_fleet_file_that_was_not_applied(run, named, fleet):
    named.nova.flavors.clear()
    status, out, _ = run("--fleet", fleet)
    assert status == 1
    assert "  3 differences between fleet file and cloud (flavor gpu.l40s.1, " in out
    assert "      nova-gpu apply --dry-run\n" in out


def test_without_a_fleet_file(run):
    status, out, err = run()
    assert status == 0
    assert out.splitlines()[2:] == [
        "Model  Total  In use  Free  Usable  Held  Stuck  Missing",
        "L40S       8       0     8       8     0      0        0",
        "",
        "Most free on one host  GPUs  Host",
        "L40S                      4  l40s1",
        "",
        "Nothing needs attention",
    ]
    assert err.startswith("without a fleet file (--fleet) it is not known which servers still fit")
    assert err.count("\n") == 1


def test_a_cloud_without_gpus(nova_gpu, named):
    use_unified_limits(named)
    status, out, _ = nova_gpu("--os-cloud", "test", "status")
    assert status == 0
    assert "No host has GPUs" in out


def test_a_reader_sees_the_own_quota_and_gets_status_2(run, named):
    for path in ("os-services", "projects$", "resource_providers"):
        named.fail(f"GET .*{path}", 403, {"forbidden": {"message": "no"}})
    status, out, err = run(user="tenant")
    assert status == 2
    assert out.splitlines()[2:] == [
        "Project  Model  Used  Limit",
        "admin    L40S      0      8",
    ]
    notes = err.splitlines()
    assert notes[0].startswith("hosts are not shown: needs role admin; user alice has only reader,")
    assert notes[1:] == [
        "only project admin is shown: all projects need role admin",
        "for what your project can boot: nova-gpu available",
    ]


def test_nothing_is_readable(run, named):
    named.fail("GET .*(os-services|resource_providers|usages)", 403)
    status, out, err = run(user="tenant")
    assert (status, out) == (2, "")
    assert "needs role admin; user alice has only reader, member" in err
    assert err.count("\n") == 1


def test_an_auditor_gets_no_comparison_with_the_fleet_file(run, named, fleet):
    named.fail("GET .*/aggregates|GET .*os-quota-class|GET .*/domains|GET .*/services", 403)
    status, out, err = run("--fleet", fleet, user="tenant")
    assert status == 0
    assert "L40S       8       0     8       8     0      0        0" in out
    assert "fleet file and cloud are not compared: " in err


def test_quotas_that_cannot_be_read_are_noted(run, named):
    named.fail("GET .*/limits", 200, {"limits": [], "truncated": True})
    status, _, err = run()
    assert status == 0
    assert "quotas are not shown: Keystone returns only some of the limits" in err


def test_a_record_of_another_cloud_is_noted(run, named, fleet):
    record = fleet.with_name("fleet.applied.yaml")
    text = record.read_text()
    assert "http://cloud/identity\n" in text
    record.write_text(text.replace("http://cloud/identity\n", "http://other\n"))
    status, out, err = run("--fleet", fleet)
    assert status == 0
    assert "Nothing needs attention" in out
    assert "fleet file and cloud are not compared: " in err


def test_many_projects_are_cut_off(run, named):
    for number in range(12):
        named.keystone.add_project(f"p{number:02}")
        named.keystone.limit(L40S, number, f"p{number:02}")
    _, out, _ = run()
    assert out.splitlines()[-2:] == [
        "p07      L40S      0      7",
        "and 4 more: nova-gpu quota list",
    ]


def test_a_document_for_programs(run, named, hosts, fleet):
    boot(named, hosts)
    for form, load in (("json", json.loads), ("yaml", yaml.safe_load)):
        status, out, err = run("--fleet", fleet, "-f", form)
        assert (status, err) == (0, "")
        document = load(out)
        assert document["version"] == 1
        assert document["models"] == [
            {
                "model": "L40S",
                "total": 8,
                "in_use": 2,
                "free": 6,
                "usable": 6,
                "held": 0,
                "stuck": 0,
                "missing": 0,
            }
        ]
        assert document["flavors"][0]["servers"] == 1
        assert document["quotas"] == [
            {
                "project": "research",
                "model": "L40S",
                "used": 2,
                "limit": 8,
                "limit_known": True,
            }
        ]
        assert document["attention"] == document["notes"] == []


def test_sentences_fit_the_terminal_and_commands_stay_whole(run, named, fleet, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr(terminal, "shows_colours", lambda: True)
    named.nova.services[0] |= {"status": "disabled", "disabled_reason": "new fans on " * 4}
    _, out, _ = run("--fleet", fleet)
    assert "\x1b[1mNeeds attention\x1b[0m" in out
    _, _, attention = out.partition("attention\x1b[0m\n")
    *sentence, command = attention.splitlines()
    assert len(sentence) > 1
    assert max(map(len, sentence)) <= 40
    assert command == "      nova-gpu host list --long"


def test_an_invalid_fleet_file_is_reported_first(run, named, tmp_path):
    file = tmp_path / "fleet.yaml"
    file.write_text("schema: other")
    named.requests.clear()
    status, out, err = run("--fleet", file)
    assert (status, out, str(file) in err) == (2, "", True)
    assert not named.requests
