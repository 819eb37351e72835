# SPDX-License-Identifier: Apache-2.0
import json
import logging
import os
import subprocess

import pytest
import yaml

from nova_gpu_passthrough.cli.main import main
from nova_gpu_passthrough.inventory import store
from tests.unit.generate import builders


@pytest.fixture
def inventories(tmp_path):
    """Files of two hosts."""
    paths = []
    for inventory in (builders.hgx(), builders.l40s(count=2)):
        path = tmp_path / f"{inventory.host}.yaml"
        path.write_text(store.dump(inventory, "nova-gpu host audit"), encoding="utf-8")
        paths.append(str(path))
    return paths


@pytest.fixture
def run(capsys):
    """Run ``nova-gpu config generate``; return status, standard output, standard error."""

    def generate(*arguments):
        handlers = logging.root.handlers[:]
        status = main(["config", "generate", *map(str, arguments)])
        # Remove the program's handler, which writes to the standard error of this run.
        logging.root.handlers[:] = handlers
        return status, *capsys.readouterr()

    return generate


def test_files_are_listed_and_nothing_is_written(run, inventories, tmp_path):
    before = sorted(tmp_path.iterdir())
    status, out, err = run(*inventories)
    assert status == 0
    assert "etc/modprobe.d/gpu-passthrough.conf" in out
    assert "hgx1: 4 NVSwitches stay with the host" in err
    assert sorted(tmp_path.iterdir()) == before


def test_machine_formats_have_the_content(run, inventories):
    status, out, _ = run(*inventories, "--long", "-f", "json")
    rows = json.loads(out)
    assert status == 0
    assert {row["State"] for row in rows} == {"-"}
    (row,) = [r for r in rows if (r["Host"], r["Purpose"]) == ("l40s1", "nova-compute")]
    assert row["Content"].count("device_spec = ") == 4


def test_show_prints_the_files(run, inventories):
    _, out, _ = run(*inventories, "--show")
    assert "==> hgx1/etc/modprobe.d/gpu-passthrough.conf <==\n# Made by: nova-gpu config" in out


def test_write_then_diff_then_change_and_edit(run, inventories, tmp_path):
    root = tmp_path / "out"
    status, out, _ = run(*inventories, "--write", root)
    assert status == 0
    assert "| new " in out
    status, out, _ = run(*inventories, "--diff", root)
    assert status == 0
    assert {line.split("|")[-2].strip() for line in out.splitlines() if "/" in line} == {"same"}

    # Another setting changes files that were not edited.
    status, out, _ = run(*inventories, "--diff", root, "--host-cores", "3")
    assert status == 1
    assert "-cpu_dedicated_set = " in out
    assert "+cpu_dedicated_set = " in out
    assert "| changed" in out
    assert run(*inventories, "--write", root, "--host-cores", "3")[0] == 0
    assert run(*inventories, "--diff", root, "--host-cores", "3")[0] == 0

    edited = root / "hgx1/etc/modprobe.d/gpu-passthrough.conf"
    edited.write_text(edited.read_text() + "blacklist mine\n")
    status, _, err = run(*inventories, "--write", root)
    assert status == 2
    assert str(edited) in err
    assert edited.read_text().endswith("blacklist mine\n")
    assert run(*inventories, "--write", root, "--force")[0] == 0
    assert "mine" not in edited.read_text()


def test_diff_writes_nothing(run, inventories, tmp_path):
    root = tmp_path / "empty"
    status, out, _ = run(*inventories, "--diff", root)
    assert status == 1
    assert "--- /dev/null" in out
    assert not root.exists()


def test_scripts_are_executable_and_other_files_are_not(run, inventories, tmp_path):
    root = tmp_path / "out"
    run(*inventories, "--write", root, "--exclude", "0000:41:00.0")
    modes = {
        str(path.relative_to(root)): os.access(path, os.X_OK)
        for path in root.rglob("*")
        if path.is_file()
    }
    script = "l40s1/etc/initramfs-tools/scripts/init-top/gpu-passthrough"
    hooks = {f"{host}/etc/initramfs-tools/hooks/gpu-passthrough" for host in ("hgx1", "l40s1")}
    assert {path for path, executable in modes.items() if executable} == {script, *hooks}
    # initramfs-tools also runs it from a shell.
    subprocess.run(["sh", "-c", f"'{root / script}' prereqs"], check=True)


def test_only_writes_the_files_of_one_host_below_its_root(run, inventories, tmp_path):
    root = tmp_path / "root"
    status, out, _ = run(*inventories, "--only", "l40s1", "--write", root)
    assert status == 0
    assert "hgx1" not in out
    assert (root / "etc/modprobe.d/gpu-passthrough.conf").exists()
    assert run(*inventories, "--only", "l40s1", "--diff", root)[0] == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--release", "30"], "--release 30: unknown release"),
        (["--only", "nobody"], "--only nobody: no files are generated for it"),
        (["--exclude", "0000:99:00.0"], "--exclude 0000:99:00.0: there is no such"),
        (["--exclude", "l40s1/0000:20:00.0"], "there is no such"),
    ],
)
def test_an_invalid_setting_is_one_sentence_and_status_2(run, inventories, arguments, message):
    status, out, err = run(*inventories, *arguments)
    assert status == 2
    assert message in err
    assert "Traceback" not in out + err


def test_missing_and_duplicate_inventories(run, inventories):
    status, _, err = run()
    assert status == 2
    assert "no inventory was given" in err
    status, _, err = run("/nowhere.yaml")
    assert status == 2
    assert "/nowhere.yaml" in err
    status, _, err = run(inventories[0], inventories[0])
    assert status == 2
    assert "two inventories are of host hgx1" in err


@pytest.fixture
def fleet(inventories, tmp_path):
    """A fleet file of the two hosts."""
    path = tmp_path / "fleet.yaml"
    path.write_text(
        "schema: nova-gpu-passthrough/fleet\nversion: 1\nname: f\n"
        "groups: [{name: all, inventories: ['hgx1.yaml', 'l40s1.yaml']}]\n"
        "settings: {release: 33, policy: spread, host_cores: 2}\n"
        "aliases: [{model: L40S, name: small}]\n"
        "flavors: [{model: L40S, counts: [1], name: one}]\n",
        encoding="utf-8",
    )
    return path


def content(out):
    return {(row["Host"], row["Path"]): row["Content"] for row in json.loads(out)}


def test_a_fleet_file_has_inventories_settings_aliases_and_flavors(run, fleet):
    status, out, err = run("--fleet", fleet, "-f", "json")
    assert status == 0, err
    texts = content(out)
    scheduler = texts["control", "etc/nova/nova.conf.d/91-gpu-passthrough-scheduler.conf"]
    assert "policy = spread" in scheduler
    assert (
        '"name": "small"' in texts["hgx1", "etc/nova/nova.conf.d/90-gpu-passthrough-aliases.conf"]
    )
    guests = yaml.safe_load(texts["control", "etc/gpu-passthrough/guests.yaml"])
    flavors = {entry["model"]: entry["flavors"] for entry in guests["gpus"]}
    assert [flavor["name"] for flavor in flavors["L40S"]] == ["one"]
    assert flavors["L40S"][0]["extra_specs"]["pci_passthrough:alias"] == "small:1,l40s-audio:1"
    assert flavors["H100-SXM"] == []
    head = scheduler.splitlines()[0]
    assert head == f"# Made by: nova-gpu config generate --fleet {fleet}"


def test_release_target_and_distribution_may_be_given_with_a_fleet_file(run, fleet):
    options = ("--release", "34", "--target", "kolla", "--distribution", "redhat")
    status, out, _ = run("--fleet", fleet, *options, "-f", "json")
    assert status == 0
    texts = content(out)
    text = texts["control", "etc/kolla/config/nova/nova-scheduler.conf"]
    command = f"nova-gpu config generate --fleet {fleet} {' '.join(options)}"
    assert text.splitlines()[0] == f"# Made by: {command}"
    assert not any("grub.d" in path for _, path in texts)


@pytest.mark.parametrize(
    "arguments, option",
    [
        (["l40s1.yaml"], "INVENTORY"),
        (["--exclude", "0000:41:00.0"], "--exclude"),
        (["--nic", "0000:40:00.0"], "--nic"),
        (["--include-unfit"], "--include-unfit"),
        (["--numa-policy", "legacy"], "--numa-policy"),
        (["--one-time-use"], "--one-time-use"),
        (["--enabled-filters", "A"], "--enabled-filters"),
        (["--policy", "pack"], "--policy"),
        (["--host-cores", "0"], "--host-cores"),
        (["--reserved-host-memory-mb", "0"], "--reserved-host-memory-mb"),
        (["--hugepages"], "--hugepages"),
    ],
)
def test_options_that_a_fleet_file_replaces_are_errors(run, fleet, arguments, option):
    status, _, err = run("--fleet", fleet, *arguments)
    assert status == 2
    assert err.strip() == (
        f"nova-gpu: {option}: with --fleet, inventories and settings come only from {fleet}; set "
        "them there"
    )


def test_inventories_override_the_fleet_file_of_the_environment(
    run, fleet, inventories, monkeypatch
):
    monkeypatch.setenv("NOVA_GPU_FLEET", str(fleet))
    status, out, _ = run(*inventories, "-f", "json")
    assert status == 0
    assert "nova-gpu config generate --fleet" not in out
    status, out, _ = run("-f", "json")
    assert status == 0
    assert "nova-gpu config generate --fleet" in out


def test_a_refused_flavor_is_reported_and_the_files_are_generated(run, fleet):
    fleet.write_text(fleet.read_text().replace("[1]", "[9]"))
    status, out, err = run("--fleet", fleet)
    assert status == 0
    assert "flavor one is refused: no host has 9 GPUs of L40S; the most is 2, on l40s1" in err
    assert "guests.yaml" in out


def test_a_fleet_without_passthrough_has_nothing_to_configure(run, fleet):
    text = fleet.read_text().replace("groups: [{", "groups: [{mode: vgpu, ")
    fleet.write_text("".join(text.splitlines(keepends=True)[:5]))
    status, _, err = run("--fleet", fleet)
    assert status == 2
    assert f"{fleet}: there is no group of mode passthrough" in err
