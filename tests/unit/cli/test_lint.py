# SPDX-License-Identifier: Apache-2.0
"""``lint`` and ``drift`` as programs: options, output, exit status."""

import csv
import io
import json

import pytest
import requests_mock
import yaml

from nova_gpu_passthrough.cloud.lint.configuration import config_files
from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService, ServiceRole
from tests.unit.cloud.clouds import run_computes
from tests.unit.cloud.fake_cloud import FakeCloud
from tests.unit.cloud.fake_placement import Placement
from tests.unit.cloud.lint.builders import COMPUTE, SCHEDULER, SHARED, Site
from tests.unit.generate.builders import hgx

MAIN = "etc/nova/nova.conf"
COLUMNS = ["Severity", "Finding", "Subject", "Found", "Where", "Fix"]


@pytest.fixture(scope="module")
def _clean(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("clean"))


@pytest.fixture
def site(_clean, tmp_path):
    """A fleet with clean configuration."""
    return _clean.copy(tmp_path)


@pytest.fixture(autouse=True)
def no_cloud(monkeypatch):
    """The environment names no cloud and no fleet file."""
    for name in ("OS_CLOUD", "NOVA_GPU_FLEET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def offline(nova_gpu, site):
    """Run ``lint`` without a cloud."""

    def run(*arguments):
        fleet = ("--fleet", site.resolved.file.path)
        return nova_gpu("lint", "--offline", *fleet, "--config", site.root, *arguments)

    return run


def test_clean_files_have_no_findings_and_status_0(offline):
    status, out, err = offline("-f", "json")
    assert (status, json.loads(out)) == (0, [])
    assert "not checked: whether nova-gpu-passthrough is installed" in err


def test_failures_come_first_and_the_status_is_1(offline, site):
    site.replace("control", SCHEDULER, "policy = pack", "policy = spread")
    site.replace("hgx1", COMPUTE, "report_in_placement = true", "")
    status, out, _ = offline("-f", "json")
    rows = json.loads(out)
    assert status == 1
    assert list(rows[0]) == COLUMNS
    severities = [row["Severity"] for row in rows]
    assert severities == sorted(severities, key=["failure", "warning"].index)
    assert {row["Finding"] for row in rows} == {
        "pci.not_reported",
        "pci.asked_too_early",
        "scheduler.policy",
    }


def test_warnings_change_the_status_only_with_strict(offline, site):
    site.replace("control", SCHEDULER, "policy = pack", "policy = spread")
    assert offline()[0] == 0
    assert offline("--strict")[0] == 1


def test_every_format_has_the_findings(offline, site):
    site.replace("control", SCHEDULER, "policy = pack", "policy = spread")
    assert yaml.safe_load(offline("-f", "yaml")[1])[0]["Finding"] == "scheduler.policy"
    (row,) = csv.DictReader(io.StringIO(offline("-f", "csv")[1]))
    assert row["Severity"] == "warning"
    assert "scheduler.policy" in offline("-f", "value", "-c", "Finding")[1]
    table = offline()[1]
    assert "| warning  | scheduler.policy |" in table
    assert "Why" not in table


def test_people_get_one_row_for_the_same_on_several_hosts_and_programs_all(offline, site):
    for host in ("hgx1", "l40s1"):
        site.replace(host, COMPUTE, "report_in_placement = true", "")
    rows = json.loads(offline("-f", "json")[1])
    subjects = [row["Subject"] for row in rows if row["Finding"] == "pci.not_reported"]
    assert subjects == ["nova-compute@hgx1", "nova-compute@l40s1"]
    _, out, err = offline()
    assert out.count("pci.not_reported") == 1
    assert "nova-compute@hgx1, l40s1 (2)" in out
    assert "for host in hgx1 l40s1; do" in out
    assert err.endswith("3 failures: 2 hosts, 7 flavors, 12 GPUs, 4 services checked\n")


def test_without_findings_what_was_checked_is_printed(offline):
    status, out, err = offline()
    assert (status, out) == (0, "")
    assert err.endswith("No contradictions: 2 hosts, 7 flavors, 12 GPUs, 4 services checked\n")


def test_long_adds_reasons(offline, site):
    site.replace("control", SCHEDULER, "policy = pack", "policy = spread")
    (row,) = json.loads(offline("--long", "-f", "json")[1])
    assert list(row) == [*COLUMNS, "Why"]
    assert row["Why"] == "Hosts are not ranked as intended."


def test_the_configuration_of_another_fleet_has_no_other_notes(nova_gpu, site, tmp_path):
    other = Site(tmp_path / "other", inventories=[hgx("x1")])
    fleet = ("--fleet", site.resolved.file.path)
    status, out, err = nova_gpu("lint", "--offline", *fleet, "--config", other.root, "-f", "json")
    assert (status, err) == (1, "")
    assert [row["Finding"] for row in json.loads(out)] == ["config.other_fleet"]


def test_a_record_elsewhere_is_in_the_fix(nova_gpu, site, online):
    record = site.root / "applied.yaml"
    fleet = ("--fleet", site.resolved.file.path)
    _, out, _ = nova_gpu("lint", *fleet, "--record", record, "-f", "json")
    fixes = {row["Fix"] for row in json.loads(out)}
    assert fixes == {f"nova-gpu apply --fleet {site.resolved.file.path} --record {record}"}


def test_a_malformed_file_is_reported_with_file_and_line(offline, site):
    site.add("hgx1", "[pci]\ndevice_spec\n")
    status, out, err = offline()
    assert (status, out) == (2, "")
    path = site.path("hgx1", "etc/nova/nova.conf.d/99-local.conf")
    assert f"{path}:2: a line that is neither section nor option: 'device_spec'" in err
    assert len(err.strip().splitlines()) == 1


def test_a_file_of_a_service_can_be_given(offline, site, tmp_path):
    path = tmp_path / "scheduler.conf"
    text = site.path("control", SHARED).read_text() + site.path("control", SCHEDULER).read_text()
    path.write_text("[DEFAULT]\n" + text.replace("policy = pack", "policy = spread"))
    status, out, _ = offline("--nova-conf", f"scheduler@control={path}", "-f", "json")
    (row,) = json.loads(out)
    assert (status, row["Finding"]) == (0, "scheduler.policy")
    assert row["Where"].startswith(f"{path}:")


def test_a_file_that_is_read_last_overrides_generated_files(offline, site):
    site.add("control", "[filter_scheduler]\nenabled_filters = ComputeFilter\n", MAIN)
    site.add("control", "[api_database]\nconnection = x\n", "etc/nova/nova-api.conf")
    words = ("-f", "value", "-c", "Finding", "-c", "Where")
    assert MAIN not in offline(*words)[1]
    status, out, _ = offline(*words, "--started", f"nova-scheduler --config-file=/{MAIN}")
    assert status == 1
    assert [line for line in out.splitlines() if line.startswith("scheduler.") and MAIN in line]


def test_a_command_line_of_no_service_is_refused(offline):
    status, out, err = offline("--started", "nova.conf")
    assert (status, out) == (2, "")
    assert "--started nova.conf: expected the command line of one of nova-api, " in err


def test_started_needs_config(nova_gpu, site):
    status, _, err = nova_gpu(
        "lint", "--offline", "--fleet", site.resolved.file.path, "--started", "nova-scheduler"
    )
    assert (status, err.strip()) == (
        2,
        "nova-gpu: --started describes hosts of --config DIR: give --config, too",
    )


def test_running_services_replace_copies(offline, site, monkeypatch):
    def running():
        text = (
            site.path("control", SHARED).read_text() + site.path("control", SCHEDULER).read_text()
        )
        path = site.root / "nova.conf"
        path.write_text(text.replace("policy = pack", "policy = spread"))
        return (ConfiguredService((ServiceRole.SCHEDULER,), "control", config_files.read([path])),)

    monkeypatch.setattr(
        "nova_gpu_passthrough.cloud.lint.configuration.running_services.find", running
    )
    assert offline()[:2] == (0, "")
    status, out, _ = offline("--running", "-f", "json")
    (row,) = json.loads(out)
    assert (status, row["Finding"]) == (0, "scheduler.policy")


def test_hosts_and_services_without_configuration_are_reported(nova_gpu, site):
    fleet = ("--fleet", site.resolved.file.path)
    path = site.path("hgx1", "etc/nova/nova.conf.d")
    status, _, err = nova_gpu("lint", "--offline", *fleet, "--nova-conf", f"hgx1={path}")
    assert status == 0
    assert "l40s1: no configuration of nova-compute was given" in err
    assert "no configuration of nova-scheduler was given" in err


def test_without_configuration_only_the_fleet_file_is_checked(nova_gpu, site):
    status, _, err = nova_gpu("lint", "--offline", "--fleet", site.resolved.file.path)
    assert (status, err) == (0, "No contradictions: 2 hosts, 7 flavors, 12 GPUs checked\n")


def test_a_fleet_file_is_needed(nova_gpu):
    status, _, err = nova_gpu("lint", "--offline")
    assert status == 2
    assert "no fleet file was given" in err


@pytest.fixture
def online(monkeypatch, site):
    """A cloud in which the fleet's compute hosts run."""
    placement = Placement()
    try:
        with requests_mock.Mocker() as mocker:
            cloud = FakeCloud(mocker, placement)
            run_computes(cloud, site.resolved)
            variables = {
                "AUTH_URL": "http://cloud/identity/v3",
                "USERNAME": "admin",
                "PASSWORD": cloud.keystone.passwords["admin"],
                "PROJECT_NAME": "admin",
                "USER_DOMAIN_ID": "default",
                "PROJECT_DOMAIN_ID": "default",
                "REGION_NAME": "RegionOne",
            }
            for name, value in variables.items():
                monkeypatch.setenv(f"OS_{name}", value)
            yield cloud
    finally:
        placement.close()


def test_from_apply_to_drift(nova_gpu, site, online):
    """Lint reports what apply would change; afterwards nothing, until the cloud is changed."""
    where = ("--fleet", site.resolved.file.path, "--config", site.root)
    record = site.root / "applied.yaml"
    status, out, err = nova_gpu("drift", *where, "--record", record)
    assert status == 2
    assert f"{record}: there is no record of an applied state" in err

    status, out, _ = nova_gpu("lint", *where, "-f", "json")
    assert status == 1
    assert {row["Finding"] for row in json.loads(out)} == {"cloud.aggregate", "cloud.flavor"}

    fleet = ("--fleet", site.resolved.file.path)
    status, _, err = nova_gpu("apply", *fleet, "--record", record)
    assert status == 0, err
    for command in ("lint", "drift"):
        status, out, err = nova_gpu(command, *where, "--record", record, "-f", "json")
        assert (status, json.loads(out)) == (0, []), (out, err)

    flavor = next(f for f in online.nova.flavors.values() if f["name"] == "gpu.l40s.1")
    del online.nova.flavors[flavor["id"]]
    for command in ("lint", "drift"):
        status, out, _ = nova_gpu(command, *where, "--record", record, "-f", "json")
        (row,) = json.loads(out)
        assert (status, row["Finding"], row["Subject"]) == (1, "cloud.flavor", "flavor gpu.l40s.1")


@pytest.fixture
def statuses(nova_gpu, site, online):
    """Apply the fleet file; return the statuses of the commands that compare the cloud with it."""
    record, fleet = site.root / "applied.yaml", ("--fleet", site.resolved.file.path)
    where = (*fleet, "--record", record)
    assert nova_gpu("apply", *where)[0] == 0
    commands = (("apply", *where, "--dry-run"), ("lint", *where), ("drift", *where))
    return lambda: [nova_gpu(*command)[0] for command in commands]


def test_apply_lint_and_drift_agree_about_skipped_changes(statuses, online):
    assert statuses() == [0, 0, 0]
    flavor = next(f for f in online.nova.flavors.values() if f["name"] == "gpu.l40s.1")
    flavor["extra_specs"]["hw:cpu_policy"] = "shared"
    online.nova.add_server("train-1", "l40s1", flavor)
    assert statuses() == [1, 1, 1]


def test_apply_lint_and_drift_agree_about_objects_of_others(statuses, online):
    specs = {"pci_passthrough__alias": "l40s:1", "hw__numa_nodes": "1"}
    online.nova.add_flavor("mine", 1, 1024, **specs)
    assert statuses() == [0, 0, 0]


def test_a_refused_request_is_reported(nova_gpu, site, online):
    online.fail("GET /compute.*", status=403)
    status, _, err = nova_gpu("lint", "--fleet", site.resolved.file.path)
    assert status == 2
    assert "Nova refused GET" in err
