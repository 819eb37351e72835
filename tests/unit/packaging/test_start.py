# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu`` starts without importing modules that only some commands need.

``python -m tests.benchmarks --only startup`` measures the time.
"""

import subprocess
import sys
from importlib import metadata

import pytest

#: Modules that, with their own imports, take longer to import than the program takes to start.
HEAVY = {
    "cattrs",
    "jinja2",
    "jsonschema",
    "keystoneauth1",
    "nova",
    "openstack",
    "oslo_config",
    "oslo_log",
    "oslo_utils",
    "prometheus_client",
    "requests",
    "rich",
    "sushy",
    "tenacity",
    "yaml",
}
COMMANDS = sorted(
    point.name.replace("_", " ")
    for point in metadata.entry_points(group="nova_gpu_passthrough.cli")
)
CODE = """
import sys
from nova_gpu_passthrough.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(" ".join(sorted(sys.modules)), file=sys.stderr)
"""
UNREAD = """
import sys
from importlib import metadata
def refuse():
    raise AssertionError("metadata of all distributions was read")
metadata.packages_distributions = refuse
from nova_gpu_passthrough.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
"""


def _imported(*words):
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words], capture_output=True, text=True, check=True
    )
    return done.stdout, set(done.stderr.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_imports_nothing_heavy(command):
    output, imported = _imported(*command.split(), "--help")
    assert output.startswith(f"usage: nova-gpu {command}")
    assert not HEAVY & imported


@pytest.mark.parametrize("words", [("--help",), ("--version",), ()])
def test_the_list_of_commands_imports_nothing_heavy(words):
    output, imported = _imported(*words)
    assert output
    assert "nova_gpu_passthrough.cli.main" in imported
    assert not HEAVY & imported


@pytest.mark.parametrize("words", [["--help"], ["host", "audit", "--help"]])
def test_help_does_not_read_the_metadata_of_all_distributions(words):
    done = subprocess.run(
        [sys.executable, "-c", UNREAD, *words], capture_output=True, text=True, check=True
    )
    assert "host audit" in done.stdout
    # cliff shows the distribution of a command, except for those of the program's distribution.
    assert "(nova-gpu-passthrough)" not in done.stdout
