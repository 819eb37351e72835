# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu apply`` with a fake cloud."""

import os
import re
import signal
import sys

import jsonschema
import pytest
import yaml

from nova_gpu_passthrough.cloud.apply import record as records
from nova_gpu_passthrough.files import documents
from nova_gpu_passthrough.inventory import store
from tests.unit.cli.clouds import cloud as cloud
from tests.unit.cli.clouds import named as named
from tests.unit.generate import builders

FLEET = """\
schema: nova-gpu-passthrough/fleet
version: 1
name: paris
groups: [{name: hgx, inventories: [hgx1.yaml]}]
flavors: [{model: H100-SXM, counts: [1, 8]}]
projects: [{name: research, flavors: ["gpu.*"], quotas: {h100-sxm: 4}}]
quotas: {default: {h100-sxm: 0}}
"""
SCHEMA = "plan-v1.json"
FLAVORS = {"gpu.h100-sxm.1", "gpu.h100-sxm.8"}


@pytest.fixture
def fleet(tmp_path):
    """A fleet file of one host."""
    text = store.dump(builders.hgx(), "nova-gpu host audit")
    (tmp_path / "hgx1.yaml").write_text(text, encoding="utf-8")
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET, encoding="utf-8")
    return path


@pytest.fixture
def record(fleet):
    """The path of the record."""
    return fleet.with_name("fleet.applied.yaml")


@pytest.fixture
def apply(nova_gpu, named, fleet):
    """Run the command; return status, standard output, standard error."""
    named.nova.add_compute("hgx1", named.placement.add_host("hgx1"))

    def run(*arguments, cloud="test"):
        return nova_gpu("--os-cloud", cloud, "apply", "--fleet", fleet, *arguments)

    return run


def _flavors(named):
    return {flavor["name"] for flavor in named.nova.flavors.values()}


def test_the_fleet_file_is_applied(apply, named, record):
    status, out, err = apply()
    assert status == 0
    assert "+++ flavor gpu.h100-sxm.8 (fleet paris)\n" in out
    assert "+class:CUSTOM_GPU_H100_SXM of research: 4\n" in out
    assert re.search(r"^Plan: (\d+ to add, 0 to change, 0 to delete)$", err, re.M)
    assert re.search(r"^Applied: (\d+ added, 0 changed, 0 deleted)$", err, re.M)
    assert _flavors(named) == FLAVORS
    assert records.load(record).complete


def test_a_second_run_changes_nothing_and_reports_it(apply, named, record):
    apply()
    before, count = record.read_text(), len(named.requests)
    status, out, err = apply()
    assert (status, out) == (0, "")
    assert "the cloud matches fleet paris: nothing to change\n" in err
    assert {method for method, path in named.requests[count:] if "tokens" not in path} == {"GET"}
    assert record.read_text() == before


def test_a_dry_run_only_prints_the_changes(apply, named, record):
    status, out, _ = apply("--dry-run")
    assert status == 1
    assert "+++ flavor gpu.h100-sxm.8 (fleet paris)\n" in out
    assert named.requested("^(POST|PUT|DELETE|PATCH)") == []
    assert not record.exists()
    apply()
    status, out, _ = apply("--dry-run")
    assert (status, out) == (0, "")


def test_skipped_changes_are_reported(apply, named):
    apply()
    (flavor,) = (one for one in named.nova.flavors.values() if one["name"].endswith(".1"))
    flavor["extra_specs"]["hw:cpu_policy"] = "shared"
    named.nova.add_server("train-1", "hgx1", flavor, id="server-1")
    status, out, err = apply()
    assert (status, out) == (0, "")
    summary = (
        "nothing to do now; 1 change skipped: flavor gpu.h100-sxm.1: 1 server uses it (such as "
        "train-1, server-1), so hw:cpu_policy stays as it is; add --change-used to do it anyway"
    )
    assert err.splitlines()[-1] == summary
    # As lint and drift, while the cloud is not what the fleet file says.
    status, out, err = apply("--dry-run")
    assert (status, out, err.splitlines()[-1]) == (1, "", summary)
    status, out, _ = apply("--change-used")
    assert status == 0
    assert "+  hw:cpu_policy: dedicated\n" in out


def test_prune_deletes_other_gpu_flavors(apply, named):
    named.nova.add_flavor("mine", pci_passthrough__alias="h100-sxm:1")
    _, _, err = apply()
    foreign = (
        "1 object left alone: flavor mine: not in the fleet file, and it "
        "requests alias h100-sxm; --prune deletes it"
    )
    assert foreign in err.splitlines()
    status, _, err = apply("--dry-run")
    assert status == 0
    assert err.splitlines()[-2:] == ["the cloud matches fleet paris: nothing to change", foreign]
    status, out, _ = apply("--prune", "--dry-run")
    assert (status, _flavors(named)) == (1, {*FLAVORS, "mine"})
    assert "--- flavor mine (cloud)\n+++ /dev/null\n" in out
    apply("--prune")
    assert _flavors(named) == FLAVORS


@pytest.fixture
def document(apply):
    """Return the exit status and the document of a run, which has the format of its schema."""

    def run(*arguments):
        status, out, _ = apply(*arguments)
        document = yaml.safe_load(out)
        jsonschema.validate(document, documents.schema("nova_gpu_passthrough.cloud.apply", SCHEMA))
        return status, document

    return run


def _results(document):
    return {(one["kind"], one["name"]): one["result"] for one in document["changes"]}


@pytest.mark.parametrize("format_", ["json", "yaml"])
def test_the_plan_as_a_document(document, apply, named, format_):
    status, planned = document("--dry-run", "-f", format_)
    assert status == 1
    assert planned["summary"] == {
        "add": len(planned["changes"]),
        "change": 0,
        "delete": 0,
        "skipped": 0,
        "left_alone": 0,
    }
    assert set(_results(planned).values()) == {"planned"}
    (flavor,) = (one for one in planned["changes"] if one["name"] == "gpu.h100-sxm.8")
    assert (flavor["action"], flavor["before"], flavor["reason"]) == ("create", None, None)
    assert flavor["after"]["access"] == ["research"]
    assert _flavors(named) == set()


def test_the_document_of_a_run_has_what_was_done_and_skipped(document, named):
    status, made = document("-f", "json")
    assert (status, set(_results(made).values())) == (0, {"done"})
    named.nova.add_flavor("mine", pci_passthrough__alias="h100-sxm:1")
    (flavor,) = (one for one in named.nova.flavors.values() if one["name"].endswith(".1"))
    flavor["extra_specs"]["hw:cpu_policy"] = "shared"
    named.nova.add_server("train-1", "hgx1", flavor, id="server-1")
    status, made = document("--dry-run", "-f", "json")
    assert status == 1
    assert _results(made) == {
        ("flavor", "gpu.h100-sxm.1"): "skipped",
        ("flavor", "mine"): "left_alone",
    }
    skipped = made["changes"][0]
    assert skipped["action"] == "update"
    policies = [skipped[key]["extra_specs"]["hw:cpu_policy"] for key in ("before", "after")]
    assert policies == ["shared", "dedicated"]
    assert skipped["reason"].startswith("1 server uses it (such as train-1, server-1)")
    assert made["changes"][1]["reason"].endswith("--prune deletes it")


@pytest.fixture
def ctrl_c(named):
    """Press Ctrl-C while Nova creates a flavor, until the returned function is called."""
    answer = named.nova.answer

    def press(method, path, request):
        if method == "POST" and path == "/flavors":
            os.kill(os.getpid(), signal.SIGINT)
        return answer(method, path, request)

    def stop():
        named.nova.answer = answer

    named.nova.answer = press
    return stop


def test_the_document_of_a_run_that_ends_early(document, named, ctrl_c):
    named.fail("POST .*/os-aggregates", 400, {"badRequest": {"message": "no such name"}})
    status, made = document("-f", "json")
    assert status == 130
    results = _results(made)
    assert results["aggregate", "gpu-hgx"] == "refused"
    assert results["flavor", "gpu.h100-sxm.8"] == "not_done"
    assert "done" in results.values()
    (refused,) = (one for one in made["changes"] if one["result"] == "refused")
    assert "no such name" in refused["reason"]


def test_equal_remarks_are_printed_once_with_their_hosts(apply, fleet):
    text = store.dump(builders.hgx("hgx2"), "nova-gpu host audit")
    fleet.with_name("hgx2.yaml").write_text(text, encoding="utf-8")
    fleet.write_text(FLEET.replace("[hgx1.yaml]", "['hgx*.yaml']"))
    _, _, err = apply("--dry-run")
    assert len([line for line in err.splitlines() if "NVSwitches" in line]) == 1
    assert "hgx1, hgx2: 4 NVSwitches stay with the host" in err


def test_flavors_that_no_project_may_use_are_reported(apply, fleet):
    fleet.write_text(FLEET.replace('flavors: ["gpu.*"]', 'flavors: ["*.8"]'))
    _, _, err = apply("--dry-run")
    assert (
        "flavor gpu.h100-sxm.1: private, and no project may use it: name it below projects in the "
        "fleet file, or set public: true"
    ) in err.splitlines()


def test_the_record_can_be_elsewhere(apply, record, tmp_path):
    apply("--record", tmp_path / "other.yaml")
    assert (tmp_path / "other.yaml").exists()
    assert not record.exists()


def test_a_record_of_another_fleet_is_refused(apply, named, fleet, record):
    apply()
    fleet.write_text(FLEET.replace("name: paris", "name: rome"))
    count = len(named.requests)
    status, out, err = apply()
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith(
        f"nova-gpu: {record}: key fleet: this is the record of fleet paris, not of rome; name "
        "the right record"
    )
    assert len(named.requests) == count


def test_an_invalid_record_is_refused_with_its_line(apply, record):
    record.write_text("schema: 1\n")
    status, _, err = apply()
    assert status == 2
    assert f"{record}:1: " in err


def test_a_fleet_file_is_required(nova_gpu, named):
    status, _, err = nova_gpu("--os-cloud", "test", "apply")
    assert status == 2
    assert err.startswith("nova-gpu: no fleet file was given")


def test_a_tenant_gets_one_sentence(apply, named, record):
    named.fail("GET .*/traits", 403)
    status, out, err = apply(cloud="tenant")
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith("nova-gpu: traits: needs role admin; ")
    assert not record.exists()


def test_each_refusal_is_reported_and_other_changes_are_made(apply, named):
    named.fail("POST .*/os-aggregates", 400, {"badRequest": {"message": "no such name"}})
    status, _, err = apply()
    assert status == 2
    *_, refusal, applied, sentence = err.splitlines()
    assert re.fullmatch(r"Applied: \d+ added, 0 changed, 0 deleted; 1 refused", applied)
    assert refusal.startswith("aggregate gpu-hgx: Nova refused POST")
    assert re.fullmatch(
        r"nova-gpu: 1 of \d+ changes were refused; fix the causes reported above and run it again",
        sentence,
    )
    assert _flavors(named) == FLAVORS


def test_ctrl_c_ends_the_command_between_two_requests(apply, named, ctrl_c):
    status, _, err = apply()
    assert status == 130
    assert re.fullmatch(
        r"nova-gpu: interrupted: \d+ of \d+ changes done; run it again to go on",
        err.splitlines()[-1],
    )
    assert len(named.nova.flavors) == 1
    ctrl_c()
    assert apply()[0] == 0
    assert apply("--dry-run")[0] == 0


def test_ctrl_c_during_the_comparison_changes_nothing(apply, named, record):
    named.fail("GET .*/flavors", error=KeyboardInterrupt())
    status, out, err = apply()
    assert (status, out) == (130, "")
    assert err.splitlines()[-1] == "nova-gpu: interrupted: nothing was changed in the cloud"
    assert not record.exists()


def test_lines_are_coloured_only_on_terminals(apply, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    _, out, _ = apply("--dry-run")
    assert "\x1b[1m+++ traits (fleet paris)\x1b[0m\n\x1b[36m@@\x1b[0m\n\x1b[32m+CUSTOM_" in out
    assert "\x1b[1m--- /dev/null\x1b[0m\n" in out


def test_progress_is_shown_only_on_terminals(apply, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    _, out, err = apply()
    assert "changes" in err
    assert "\x1b" not in out
