# SPDX-License-Identifier: Apache-2.0
"""Help, unknown commands, and errors of the program."""

import os
import subprocess
import sys
from importlib import metadata

import pytest

from nova_gpu_passthrough.cli import audit_options
from nova_gpu_passthrough.errors import UserError
from tests.unit.audited import L40S

MODULE = (sys.executable, "-m", "nova_gpu_passthrough.cli.main")
COMMANDS = ("gpu list", "host audit", "host draw")


def _raise(monkeypatch, error):
    def fail(options):
        raise error

    monkeypatch.setattr(audit_options, "run_audit", fail)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_without_a_command_there_is_help(nova_gpu, arguments):
    status, out, err = nova_gpu(*arguments)
    assert (status or 0) == 0
    for command in COMMANDS:
        assert command in out
    assert err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(nova_gpu, command):
    status, out, err = nova_gpu(*command.split(), "--help")
    assert status == 0
    assert out.startswith(f"usage: nova-gpu {command}")
    assert "--root DIR" in out
    assert err == ""


def test_the_version(nova_gpu):
    status, out, _ = nova_gpu("--version")
    assert status == 0
    assert out.split()[1] == metadata.version("nova-gpu-passthrough")


@pytest.mark.parametrize("arguments", [("nope",), ("host",), ("host", "nope"), ("xyzzy", "plugh")])
def test_an_unknown_command(nova_gpu, arguments):
    status, out, err = nova_gpu(*arguments)
    assert status == 2
    assert "not" in out + err
    assert "Traceback" not in out + err


def test_an_unknown_option(nova_gpu):
    status, out, err = nova_gpu("host", "audit", "--bogus")
    assert status == 2
    assert out == ""
    assert err.splitlines()[-1].endswith("unrecognized arguments: --bogus")


def test_a_user_error_is_one_sentence(nova_gpu, monkeypatch):
    _raise(monkeypatch, UserError("fleet.yaml:3: no such thing; name another"))
    assert nova_gpu("host", "audit") == (2, "", "fleet.yaml:3: no such thing; name another\n")


def test_an_unexpected_error_refers_to_debug(nova_gpu, monkeypatch):
    _raise(monkeypatch, KeyError("0000:01:00.0"))
    status, out, err = nova_gpu("host", "audit")
    assert (status, out) == (2, "")
    assert err == "'0000:01:00.0'\n(KeyError; add --debug to see the traceback)\n"


@pytest.mark.parametrize("error", [UserError("x"), KeyError("x")])
def test_debug_shows_a_traceback(nova_gpu, monkeypatch, error):
    _raise(monkeypatch, error)
    status, _, err = nova_gpu("--debug", "host", "audit")
    assert status == 2
    assert "Traceback" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_an_interrupt_ends_with_130(nova_gpu, monkeypatch, command):
    _raise(monkeypatch, KeyboardInterrupt())
    status, out, err = nova_gpu(*command.split())
    assert status == 130
    assert "Traceback" not in out + err


def test_as_a_program(tree):
    done = subprocess.run(
        [*MODULE, "gpu", "list", "--root", tree(L40S), "-f", "value", "-c", "Address"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.split() == [gpu.address for gpu in L40S.gpus()]
    assert done.stderr == ""


def test_as_a_program_that_fails():
    done = subprocess.run(
        [*MODULE, "host", "audit", "--root", "/proc/self/none"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("/proc/self/none: contains no directory sys")


def test_a_closed_pipe_is_not_an_error(tree):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*MODULE, "host", "audit", "--all", "--long", "-f", "json", "--root", tree(L40S)],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert done.returncode not in (0, 1, 2)
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_an_error(tree):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*MODULE, "host", "audit", "-f", "json", "--root", tree(L40S)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode != 0
    assert "No space left on device" in done.stderr
