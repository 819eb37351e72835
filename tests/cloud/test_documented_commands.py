# SPDX-License-Identifier: Apache-2.0
"""Commands of the README and of the getting-started page that need a cloud."""

import shutil

import pytest

from tests import documented
from tests.checkout import ROOT
from tests.cloud import commands, servers

README = ROOT / "README.rst"
GETTING_STARTED = ROOT / "doc" / "source" / "getting-started.rst"
#: Exit status of ``apply --dry-run`` if something would change.
ALLOWED = {r"apply --dry-run": 1}


@pytest.fixture
def folder(plane, tmp_path):
    """Create the reader's directory with inventories and configuration; remove everything later."""
    shutil.copytree(plane.inventories[0].parent, tmp_path / "inventories")
    yield tmp_path
    with plane.connection("tenant") as tenant:
        for server in tenant.compute.servers(name="^train-1$"):
            tenant.compute.delete_server(server)
            tenant.compute.wait_for_delete(server, interval=0.5, wait=servers.TIMEOUT)
    if (tmp_path / "fleet.yaml").exists():
        commands.undo(plane, tmp_path / "fleet.yaml")


def _said(outcomes, words):
    (output,) = [one.output for one in outcomes if words in one.command]
    return output


def test_getting_started_with_a_cloud(plane, folder):
    found = documented.to_run(GETTING_STARTED, ["A cloud"])
    outcomes = documented.run(found, folder, plane.environment())
    assert not documented.unexpected(outcomes, ALLOWED)
    first, second = [one.output for one in outcomes if one.command == "nova-gpu apply"]
    assert "gpu.h100-sxm.8" in first
    assert "gpu.h100-sxm.8" not in second
    devices = _said(outcomes, "device list --server train-1")
    assert devices.count("H100-SXM") == 2
    assert "here" in _said(outcomes, "explain train-1")
    assert "fits" in _said(outcomes, "explain gpu.h100-sxm.8")
    assert "train-1" in (folder / "gpus.html").read_text(encoding="utf-8")
    assert (folder / "policies.svg").is_file()


def test_the_readme_with_a_cloud(plane, folder):
    (fleet,) = [block for block in documented.blocks(GETTING_STARTED) if block.caption]
    generate = documented.Block(0, "", "", "nova-gpu config generate inventories/* --write out\n")
    found = [
        block
        for block in documented.to_run(README, ["From a fleet file to GPU flavors"])
        if "--os-cloud" in block.text
    ]
    assert found
    words = {"SERVER": "gpu.l40s.1"}
    outcomes = documented.run([fleet, generate, *found], folder, plane.environment(), words)
    assert not documented.unexpected(outcomes, ALLOWED)
    assert "gpu.l40s.1" in _said(outcomes, "capacity")
    assert "fits" in _said(outcomes, "explain")
