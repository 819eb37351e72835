# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C ends the program with status 130 and without a traceback, also before it has begun."""

import os
import signal
import subprocess
import sys
import sysconfig
import textwrap

import pytest

PROGRAM = f"{sysconfig.get_path('scripts')}/nova-gpu"
#: A module that takes long to import, as a large one does on a busy machine.
SLOW = """\
import sys, time
print("importing", flush=True)
time.sleep(60)
"""


def _start(path, *arguments):
    return subprocess.Popen(
        [PROGRAM, *arguments],
        env={**os.environ, "PYTHONPATH": str(path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("module", ["cliff", "stevedore"])
def test_while_the_program_is_imported(tmp_path, module):
    (tmp_path / f"{module}.py").write_text(SLOW)
    with _start(tmp_path, "host", "audit") as process:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err == "nova-gpu: interrupted before the command began\n"


#: With options of the cloud, openstacksdk is imported before the command begins.
OPENSTACK = {
    ("--os-cloud", "x", "host", "list"): "interrupted before the command began",
    ("host", "list"): "interrupted: nothing was changed in the cloud",
}


@pytest.mark.parametrize("arguments", OPENSTACK)
def test_while_openstacksdk_is_imported(tmp_path, arguments):
    (tmp_path / "openstack.py").write_text(SLOW)
    with _start(tmp_path, *arguments) as process:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", f"nova-gpu: {OPENSTACK[arguments]}\n")


def test_a_process_that_ignores_interrupts_keeps_doing_so():
    script = textwrap.dedent("""
        import signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        from nova_gpu_passthrough.cli import start
        start.end_on_interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        start.raise_on_interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    """)
    subprocess.run([sys.executable, "-c", script], check=True)
