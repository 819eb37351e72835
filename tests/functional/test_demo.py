# SPDX-License-Identifier: Apache-2.0
"""``make demo``, with which the README starts, succeeds and shows the promised results."""

import os
import subprocess
import sys

import pytest

from tests.checkout import ROOT


def _run(module):
    # As from a shell, without this process's settings for Nova.
    prefixes = ("OS_", "PYTEST_")
    environment = {name: v for name, v in os.environ.items() if not name.startswith(prefixes)}
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_host_is_audited_and_configured():
    output = _run("tests.demo.host")
    assert "driver.taken" in output
    assert "90-gpu-passthrough.cfg" in output


@pytest.mark.slow
def test_the_demo_compares_placements_with_nova_alone():
    *_, table = _run("tests.demo").partition("| ours | Nova alone")
    refused = next(line for line in table.splitlines() if line.startswith("servers refused"))
    assert refused.split("|")[1].strip() == "0"
