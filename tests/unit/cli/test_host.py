# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu host audit`` and ``host draw``: formats, exit status, the inventory file, colours."""

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys

import pytest
import yaml

from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.inventory.findings import HOST
from tests.trees import defects, write
from tests.unit.audited import HGX, L40S, MACHINES, MI300X, audited

SHORT = ["Severity", "Finding", "Subject", "Found", "Fix"]
COLUMNS = [*SHORT, "Where", "Why", "Remedy"]
GPU = "0000:18:00.0"
CSI = "\x1b["
WARNED = HGX.alter(GPU, d3cold_allowed=True)
FAILED = defects.bound(L40S, "nouveau")


@pytest.fixture
def audit(nova_gpu, tree):
    """Run ``host audit`` on a machine."""

    def run(machine, *arguments):
        return nova_gpu("host", "audit", "--root", tree(machine), *arguments)

    return run


def _cells(out):
    """Rows of a table, as lists of cells."""
    rows = [line for line in out.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]


def _rows(text, form):
    if form == "json":
        return json.loads(text)
    if form == "yaml":
        return yaml.safe_load(text)
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("form", ["json", "yaml", "csv"])
@pytest.mark.parametrize("name", MACHINES)
def test_other_formats_list_all_findings(audit, tree, name, form):
    machine = MACHINES[name]
    status, out, err = audit(machine, "-f", form, "--long")
    rows = _rows(out, form)
    assert status in (0, 2)
    assert err == ""
    assert all(sorted(row) == sorted(COLUMNS) for row in rows)
    listed = {(row["Subject"], row["Finding"]) for row in rows}
    inventory = audited(tree(machine))
    assert listed >= {(finding.subject, finding.id) for finding in inventory.findings}
    assert {row["Severity"] for row in rows} <= {"ok", "warning", "failure"}
    assert (status == 2) == ("failure" in {row["Severity"] for row in rows})


@pytest.mark.parametrize("name", MACHINES)
def test_the_table_has_a_drawing_and_the_problems(audit, name):
    machine = MACHINES[name]
    _, out, err = audit(machine)
    assert err.endswith(f": {len(machine.gpus())} GPUs checked\n")
    head, *rows = _cells(out)
    assert head == SHORT
    assert {row[0] for row in rows} <= {"warning", "failure", ""}
    severities = [row[0] for row in rows if row[0]]
    assert severities == sorted(severities)
    for gpu in machine.gpus():
        assert f"GPU {gpu.address} " in out
    assert CSI not in out


def test_the_same_finding_on_several_gpus_is_one_row(audit):
    _, out, _ = audit(defects.no_reset(HGX, *[gpu.address for gpu in HGX.gpus()]))
    rows = _cells(out)
    (row,) = [row for row in rows if row[1] == "reset.none"]
    addresses = ", ".join(gpu.address for gpu in HGX.gpus())
    assert row[2] == f"{addresses} (8)"


def test_all_shows_findings_without_a_problem(audit):
    _, out, _ = audit(L40S, "--all")
    assert {"iommu.on", "driver.vfio", "verdict"} <= {row[1] for row in _cells(out)}


def test_long_shows_reasons_and_sources(audit):
    _, out, _ = audit(FAILED, "--long")
    head, *rows = _cells(out)
    assert head == COLUMNS
    taken = dict(zip(head, next(row for row in rows if row[1] == "driver.taken"), strict=True))
    assert taken["Where"] == "/sys/bus/pci/devices/*/driver"
    assert taken["Why"].startswith("Unbinding a GPU")
    assert taken["Remedy"] == "configuration"


def test_sources_of_findings_of_the_host_are_not_shortened(audit):
    _, out, _ = audit(defects.iommu_off(L40S, "iommu=off"), "--long")
    places = [row[5] for row in _cells(out) if row[2] == HOST and row[0]]
    assert places
    assert not [place for place in places if "*" in place and "/node*/" not in place]


@pytest.mark.parametrize(
    ("machine", "strict", "status"),
    [
        (L40S, (), 0),
        (L40S, ("--strict",), 0),
        (WARNED, (), 0),
        (WARNED, ("--strict",), 1),
        (FAILED, (), 2),
        (FAILED, ("--strict",), 2),
    ],
)
@pytest.mark.parametrize("form", ["table", "json"])
def test_exit_status(audit, machine, strict, status, form):
    assert audit(machine, "-f", form, *strict)[0] == status


def test_columns_can_be_chosen(audit):
    status, out, _ = audit(FAILED, "-f", "value", "-c", "Subject", "-c", "Finding")
    assert "driver.taken 0000:01:00.0" in out.splitlines()
    assert status == 2


def test_an_inventory_is_written_and_audited_again(audit, nova_gpu, tmp_path):
    path = tmp_path / "inventories/l40s.yaml"
    status, _, err = audit(FAILED, "--write", path, "--host", "compute-7")
    assert (status, err) == (2, f"wrote {path} (4 GPUs)\n4 failures: 4 GPUs checked\n")
    inventory = store.load(path)
    assert inventory.host == "compute-7"
    assert len(inventory.gpus) == 4
    assert set(inventory.verdicts) == {gpu.address for gpu in FAILED.gpus()}
    status, out, _ = nova_gpu("host", "audit", "--inventory", path, "-f", "json")
    assert status == 2
    taken = [row for row in json.loads(out) if row["Finding"] == "driver.taken"]
    assert len(taken) == 4


def test_an_inventory_of_a_later_audit_replaces_the_earlier(audit, tmp_path):
    path = tmp_path / "host.yaml"
    assert audit(FAILED, "--write", path)[0] == 2
    assert audit(L40S, "--write", path)[0] == 0
    assert "nouveau" not in {device.driver for device in store.load(path).devices}


def test_an_edited_inventory_is_not_replaced_without_force(audit, tmp_path):
    path = tmp_path / "host.yaml"
    audit(L40S, "--write", path)
    edited = path.read_text() + "# note\n"
    path.write_text(edited)
    status, out, err = audit(L40S, "--write", path)
    assert (status, out) == (2, "")
    assert "edited since it was generated" in err
    assert path.read_text() == edited
    status, _, err = audit(L40S, "--write", path, "--force")
    assert (status, err) == (0, f"wrote {path} (4 GPUs)\nNo problems: 4 GPUs checked\n")
    assert "# note" not in path.read_text()


def test_an_inventory_that_cannot_be_written(audit, tmp_path):
    (tmp_path / "file").touch()
    status, out, err = audit(L40S, "--write", tmp_path / "file/host.yaml")
    assert (status, out) == (2, "")
    assert "a parent of it is not a directory" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--root", "/dev"), "contains no directory sys"),
        (("--inventory", "/none.yaml"), "No such file or directory"),
        (("--inventory", "/proc/version"), "expected an inventory of version 1"),
        (("--hwloc", "/none.xml"), "/none.xml"),
        (("--links", "/none.txt"), "/none.txt"),
        (("--gpu", "RTX-4090"), "expected VENDOR:PRODUCT=MODEL"),
        (("--gpu", "10de:268=X"), "expected VENDOR:PRODUCT=MODEL"),
        (("--gpu", "10de:2684="), "expected VENDOR:PRODUCT=MODEL"),
        (("--link-group", "nvs0"), "expected NAME=ADDRESS"),
    ],
)
@pytest.mark.parametrize("command", ["audit", "draw"])
def test_invalid_options_are_one_sentence(nova_gpu, command, arguments, words):
    status, out, err = nova_gpu("host", command, *arguments)
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_source_excludes_the_others(nova_gpu):
    status, _, err = nova_gpu("host", "audit", "--root", "/", "--inventory", "x")
    assert status == 2
    assert "not allowed with argument" in err


def test_models_from_the_option(audit):
    _, out, _ = audit(L40S, "--gpu", "10DE:26B9=mine", "-f", "json")
    models = {row["Found"] for row in json.loads(out) if row["Finding"] == "gpu.model"}
    assert models == {"10de:26b9 class 0302 is mine (operator)"}


@pytest.mark.parametrize("machine", [HGX, MI300X], ids=lambda machine: machine.name)
def test_draw_only_draws(nova_gpu, tree, machine):
    status, out, err = nova_gpu("host", "draw", "--root", tree(machine))
    assert (status, err) == (0, "")
    assert re.search(r", IOMMU (intel|amd), \d+ groups$", out.splitlines()[0])
    for gpu in machine.gpus():
        assert out.count(f"GPU {gpu.address} ") == 1
    assert "+--" not in out
    assert CSI not in out


def _on_a_terminal(*arguments, **environment):
    """Return the output of a command on a terminal."""
    master, slave = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "nova_gpu_passthrough.cli.main", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=subprocess.PIPE,
            env={**os.environ, "TERM": "xterm-256color", **environment},
        )
        os.close(slave)
        chunks = []
        while True:
            try:
                chunk = os.read(master, 65536)
            except OSError:
                # Linux returns EIO after the other end was closed.
                break
            if not chunk:
                break
            chunks.append(chunk)
        errors = process.stderr.read()
        process.stderr.close()
        assert process.wait() in (0, 1, 2)
    finally:
        os.close(master)
    assert errors in (b"", b"4 failures: 4 GPUs checked\n")
    return b"".join(chunks).decode()


def test_a_terminal_has_colours(tree):
    text = _on_a_terminal("host", "audit", "--root", tree(FAILED))
    assert f"{CSI}1;31mfailure{CSI}0m" in text
    assert f"{CSI}33m  ready after configuration{CSI}0m" in text


def test_no_color_is_respected(tree):
    text = _on_a_terminal("host", "audit", "--root", tree(FAILED), NO_COLOR="1")
    assert "failure" in text
    # Bold and dim are not colours.
    assert set(re.findall(r"\x1b\[([0-9;]*)m", text)) <= {"", "0", "1", "2"}


def test_json_has_no_colours_on_a_terminal(tree):
    text = _on_a_terminal("host", "audit", "--root", tree(FAILED), "-f", "json")
    assert CSI not in text
    assert json.loads(text)


def test_a_damaged_tree_is_audited(nova_gpu, folder):
    root = write(L40S, folder / "tree")
    defects.vanished(root, "0000:01:00.0")
    defects.garbled(root, "sys/bus/pci/devices/0000:21:00.0/numa_node")
    status, out, err = nova_gpu("host", "audit", "--root", root, "-f", "json")
    assert (status, err) == (0, "")
    notes = [row["Found"] for row in json.loads(out) if row["Finding"] == "read.unusable"]
    assert len(notes) == 2
    assert len([row for row in json.loads(out) if row["Finding"] == "verdict"]) == 3
