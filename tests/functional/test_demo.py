# SPDX-License-Identifier: Apache-2.0
"""``make demo``, which the README shows first, ends well and shows what it promises."""

import os
import subprocess
import sys

import pytest

from tests.checkout import ROOT


def _run(module):
    # As from a shell: nothing of this process's own arrangement of Nova.
    mine = ("OS_", "PYTEST_")
    environment = {name: v for name, v in os.environ.items() if not name.startswith(mine)}
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_host_is_audited_and_configured():
    told = _run("tests.demo.host")
    assert "driver.taken" in told
    assert "90-gpu-passthrough.cfg" in told


@pytest.mark.slow
def test_servers_are_placed_side_by_side_with_nova_alone():
    *_, table = _run("tests.demo").partition("| ours | Nova alone")
    refused = next(line for line in table.splitlines() if line.startswith("servers refused"))
    assert refused.split("|")[1].strip() == "0"
