# SPDX-License-Identifier: Apache-2.0
"""``flavor generate``, which needs a fleet file but no cloud."""

import json

import pytest

from nova_gpu_passthrough.inventory import store
from tests.unit.generate import builders

FLEET = """\
schema: nova-gpu-passthrough/fleet
version: 1
name: f
groups: [{name: all, inventories: ['*1.yaml']}]
projects: [{name: p, flavors: ["gpu.l40s.*"]}]
"""


@pytest.fixture
def fleet(tmp_path):
    """A fleet file of two hosts."""
    for inventory in (builders.hgx(), builders.l40s(count=2)):
        text = store.dump(inventory, "nova-gpu host audit")
        (tmp_path / f"{inventory.host}.yaml").write_text(text, encoding="utf-8")
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def no_cloud(monkeypatch):
    """The environment names no cloud and no fleet file."""
    monkeypatch.delenv("OS_CLOUD", raising=False)
    monkeypatch.delenv("NOVA_GPU_FLEET", raising=False)


def test_the_table(nova_gpu, fleet):
    status, out, err = nova_gpu("flavor", "generate", "--fleet", fleet, "--long")
    assert status == 0, err
    (line,) = [line for line in out.splitlines() if line.startswith("| gpu.h100-sxm.1 ")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:9] == [
        "gpu.h100-sxm.1",
        "1",
        "2",
        "63488",
        "1",
        "for no project",
        "H100-SXM",
        "40",
        "8 vCPUs, 5120 MiB",
    ]
    assert "| hw:cpu_policy=dedicated " in out
    assert "| for p " in out
    assert "gpu.h100-sxm.1 on hgx1 leaves 8 vCPUs, 5120 MiB: node 0 has 12 CPUs beside" in err
    assert "hgx1: 1 x gpu.h100-sxm.8 leaves 1024 MiB of 8 GPUs, 24 vCPUs, 513024 MiB" in err


def test_without_refused_flavors_there_is_a_sentence(nova_gpu, fleet):
    status, out, err = nova_gpu("flavor", "generate", "--fleet", fleet, "--refused")
    assert (status, out) == (0, "")
    assert err.splitlines()[-1] == "No flavor is refused"


def test_json(nova_gpu, fleet):
    status, out, _ = nova_gpu("flavor", "generate", "--fleet", fleet, "--long", "-f", "json")
    assert status == 0
    rows = {row["Name"]: row for row in json.loads(out)}
    row = rows["gpu.l40s.2"]
    assert row["Extra Specs"]["pci_passthrough:alias"] == "l40s:2,l40s-audio:2"
    (stranded,) = row["Stranded"]
    assert stranded["hosts"] == ["l40s1"]
    assert stranded["servers"] == 1
    assert stranded["vcpus"] == 0
    assert (row["vCPUs"], row["GPUs"], row["Hosts"]) == (24, 2, 1)


def test_the_environment_names_the_fleet_file(nova_gpu, fleet, monkeypatch):
    monkeypatch.setenv("NOVA_GPU_FLEET", str(fleet))
    status, out, _ = nova_gpu("flavor", "generate", "-f", "value", "-c", "Name")
    assert status == 0
    assert out.split() == [
        "gpu.h100-sxm.1",
        "gpu.h100-sxm.2",
        "gpu.h100-sxm.4",
        "gpu.h100-sxm.8",
        "gpu.l40s.1",
        "gpu.l40s.2",
    ]


def test_refused_flavors_are_listed_with_the_reason_and_status_1(nova_gpu, fleet):
    fleet.write_text(FLEET + "flavors: [{model: L40S, counts: [1, 3]}]\n", encoding="utf-8")
    status, out, _ = nova_gpu("flavor", "generate", "--fleet", fleet, "-f", "json")
    assert status == 1
    created, refused = json.loads(out)
    assert created["Name"] == "gpu.l40s.1"
    assert refused["Name"] == "gpu.l40s.3"
    assert refused["State"] == "refused: no host has 3 GPUs of L40S; the most is 2, on l40s1"
    assert refused["vCPUs"] is None
    status, out, _ = nova_gpu("flavor", "generate", "--fleet", fleet, "--refused", "-f", "value")
    assert status == 1
    assert out.count("gpu.l40s.") == 1


def test_without_a_fleet_file_it_is_one_sentence_and_status_2(nova_gpu, tmp_path):
    status, out, err = nova_gpu("flavor", "generate")
    assert status == 2
    assert err == "nova-gpu: no fleet file was given: add --fleet FILE or set NOVA_GPU_FLEET\n"
    status, out, err = nova_gpu("flavor", "generate", "--fleet", tmp_path / "none.yaml")
    assert status == 2
    assert "none.yaml: No such file or directory; name a readable file" in err
    assert not out


def test_a_malformed_fleet_file_is_reported_with_line_and_key(nova_gpu, fleet):
    fleet.write_text(FLEET + "flavours: []\n", encoding="utf-8")
    status, _, err = nova_gpu("flavor", "generate", "--fleet", fleet)
    assert status == 2
    assert f"{fleet}:6: unknown key flavours; did you mean flavors?" in err
