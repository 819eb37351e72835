# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.trees``."""

import subprocess
import sys

import pytest

from tests.trees import __main__ as command


def _run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tests.trees", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_tree_is_written_into_a_new_directory(tmp_path):
    assert command.main(["l40s-4", str(tmp_path / "new" / "tree")]) == 0
    config = tmp_path / "new/tree/sys/bus/pci/devices/0000:01:00.0/config"
    assert config.stat().st_size == 64


def test_full_configuration_spaces_on_request(tmp_path):
    assert command.main(["hgx-h200", str(tmp_path), "--full-config"]) == 0
    config = tmp_path / "sys/bus/pci/devices/0000:18:00.0/config"
    assert config.stat().st_size == 4096
    assert (config.parent / "device").read_text() == "0x2335\n"


@pytest.mark.parametrize("name", command.MACHINES)
def test_names_are_those_of_the_machines(name):
    assert command.MACHINES[name]().name.startswith(name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required: machine, directory"),
        (["nonsense", "tree"], "invalid choice: 'nonsense'"),
        (["hgx-h100", "/dev/null/tree"], "cannot write /dev/null"),
    ],
)
def test_wrong_usage_returns_2_and_one_sentence(arguments, said):
    done = _run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_directory_with_files_is_not_changed(tmp_path):
    (tmp_path / "file").write_text("kept")
    done = _run("l40s-4", str(tmp_path))
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
