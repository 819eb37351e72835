# SPDX-License-Identifier: Apache-2.0
"""Completion in a real bash."""

import os
import pty
import select
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from nova_gpu_passthrough.cli import completion
from nova_gpu_passthrough.cli.main import NAMESPACE, NovaGpu
from tests.checkout import ROOT
from tests.unit.cli.test_plugin import entry_points

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")

PROGRAM = f"{sysconfig.get_path('scripts')}/nova-gpu"
FLEET = ROOT / "etc" / "fleet" / "projects-and-quotas.yaml"
#: Sources the script and calls its function as bash does.
CALL = """\
source "$SCRIPT"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_nova_gpu "$1"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "nova-gpu.bash"
    done = subprocess.run([PROGRAM, "complete"], capture_output=True, text=True, check=True)
    path.write_text(done.stdout)
    return path


@pytest.fixture
def complete(script, tmp_path):
    (tmp_path / "fleet.yaml").touch()
    (tmp_path / "a folder").mkdir()

    def run(*words, fleet=FLEET):
        done = subprocess.run(
            ["bash", "-u", "-c", CALL, "bash", PROGRAM, *map(str, words)],
            env={**os.environ, "SCRIPT": str(script), "NOVA_GPU_FLEET": str(fleet)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return sorted(filter(None, done.stdout.split("\n")))

    return run


COMPLETED = {
    ("ho",): ["host"],
    ("host", ""): ["audit", "draw", "list"],
    ("config", "g"): ["generate"],
    ("host", "audit", "--inv"): ["--inventory"],
    ("--quiet", "host", "audit", "--inv"): ["--inventory"],
    ("--os-cloud", "admin", "device", "li"): ["list"],
    ("host", "list", "--os-c"): ["--os-cloud"],
    ("device", "list", "--state", "re"): ["reserved"],
    ("device", "list", "--state", "free", "--state", "mi"): ["missing"],
    ("device", "list", "--state", "=", "stu"): ["stuck"],
    ("device", "list", "--state", "="): ["free", "in-use", "missing", "reserved", "stuck"],
    ("host", "list", "-f", "ya"): ["yaml"],
    ("capacity", "--fleet", "fl"): ["fleet.yaml"],
    ("mix", "--write", ""): ["a folder", "fleet.yaml"],
    ("config", "generate", "--write", ""): ["a folder"],
    ("config", "generate", "f"): ["fleet.yaml"],
    ("config", "generate", "--host-cores", ""): [],
    ("device", "list", "--project", "as"): ["assistant"],
    ("device", "list", "--host", ""): ["hgx01", "hgx02", "l40s01"],
    ("device", "list", "--model", "H"): ["H100-SXM"],
    ("capacity", "gpu.h100.1"): ["gpu.h100.1"],
}


@pytest.mark.parametrize("words", COMPLETED)
def test_completion(complete, words):
    assert complete(*words) == COMPLETED[words]


def test_the_fleet_file_of_the_command_line_comes_first(complete):
    other = ROOT / "etc" / "fleet" / "one-group.yaml"
    words = ("device", "list", "--fleet", other, "--project", "")
    assert complete(*words) == []
    assert complete("device", "list", "--fleet", FLEET, "--project", "as", fleet=other) == [
        "assistant"
    ]


def test_without_a_fleet_file_there_are_no_names_and_no_messages(complete):
    assert complete("device", "list", "--host", "", fleet="/none.yaml") == []


def test_every_option_with_a_file_is_completed_as_one():
    app = NovaGpu()
    found = set()
    for name, point in entry_points(NAMESPACE).items():
        for action in point.load()(app, None, name).get_parser(name)._actions:
            if action.type is Path:
                assert completion._kind(action) in ("file", "dir"), action
                found.add(completion._kind(action))
    assert found == {"file", "dir"}


def test_the_script_has_no_faults(script):
    shellcheck = Path(sys.executable).with_name("shellcheck")
    subprocess.run([shellcheck, "--shell=bash", script], check=True)


def test_keys_in_an_interactive_shell(script, tmp_path):
    process, terminal = pty.fork()
    if not process:
        path = f"{Path(PROGRAM).parent}:{os.environ['PATH']}"
        os.environ.update(PS1="$ ", TERM="dumb", PATH=path)
        os.chdir(tmp_path)
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
    try:
        os.write(terminal, f"source {script}; echo rea''dy\n".encode())
        assert "ready" in _read_until(terminal, "ready")
        os.write(terminal, b"nova-gpu dev\tli\t--sta\tst\t")
        assert "device list --state stuck " in _read_until(terminal, "stuck ")
    finally:
        os.close(terminal)
        os.waitpid(process, 0)


def _read_until(terminal, text):
    read, end = "", time.monotonic() + 60
    while text not in read and time.monotonic() < end:
        if select.select([terminal], [], [], 1)[0]:
            read += os.read(terminal, 4096).decode()
    return read
