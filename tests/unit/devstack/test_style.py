# SPDX-License-Identifier: Apache-2.0
"""The plug-in's shell scripts pass shellcheck."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import cache
from tests.unit.devstack.stack import HERE, PLUGIN

SCRIPTS = (
    PLUGIN / "settings",
    PLUGIN / "override-defaults",
    PLUGIN / "plugin.sh",
    PLUGIN / "lib/gpu_passthrough",
    HERE / "functions.sh",
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script):
    done = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), "--external-sources", script],
        cwd=cache.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_can_parse_the_script(script):
    assert subprocess.run(["bash", "-n", script]).returncode == 0
