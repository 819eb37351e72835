# SPDX-License-Identifier: Apache-2.0
"""Help, unknown commands, and errors of the program."""

import os
import subprocess
import sys
from importlib import metadata

import pytest

from nova_gpu_passthrough.cli import audit_options
from nova_gpu_passthrough.cli.gpu_command import CommandGroup
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


def test_an_unknown_option(nova_gpu):
    status, out, err = nova_gpu("host", "audit", "--bogus")
    assert status == 2
    assert out == ""
    assert err == ("nova-gpu: unrecognized arguments: --bogus (see nova-gpu host audit --help)\n")


def test_a_user_error_is_one_sentence(nova_gpu, monkeypatch):
    _raise(monkeypatch, UserError("fleet.yaml:3: no such thing; name another"))
    assert nova_gpu("host", "audit") == (
        2,
        "",
        "nova-gpu: fleet.yaml:3: no such thing; name another\n",
    )


def test_an_unexpected_error_refers_to_debug(nova_gpu, monkeypatch):
    _raise(monkeypatch, KeyError("0000:01:00.0"))
    status, out, err = nova_gpu("host", "audit")
    assert (status, out) == (2, "")
    assert err == "nova-gpu: KeyError: '0000:01:00.0' (add --debug to see the traceback)\n"


@pytest.mark.parametrize("error", [UserError("x"), KeyError("x")])
def test_debug_shows_a_traceback(nova_gpu, monkeypatch, error):
    _raise(monkeypatch, error)
    status, _, err = nova_gpu("--debug", "host", "audit")
    assert status == 2
    assert "Traceback" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_an_interrupt_ends_with_130(nova_gpu, monkeypatch, command):
    _raise(monkeypatch, KeyboardInterrupt())
    assert nova_gpu(*command.split()) == (
        130,
        "",
        "nova-gpu: interrupted: nothing was written\n",
    )


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
    assert done.stderr.startswith("nova-gpu: /proc/self/none: contains no directory sys")


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


UNKNOWN = {
    ("hosst", "audit"): "unknown command hosst audit; did you mean host audit?",
    ("host",): "unknown command host; the commands of host are host audit, host draw, host list",
    ("device", "lst", "--all"): "unknown command device lst; did you mean device list?",
    ("quota",): "unknown command quota; did you mean quota list?",
    ("help", "host", "audt"): "unknown command host audt; did you mean host audit?",
    ("xyzzy", "plugh"): "unknown command xyzzy plugh",
    ("--log-file",): "argument --log-file: expected one argument",
    ("--verbse", "host", "audit"): "unknown option --verbse; did you mean --verbose?",
}


@pytest.mark.parametrize("arguments", UNKNOWN)
def test_an_unknown_command_or_option_is_one_line(nova_gpu, arguments):
    message = f"nova-gpu: {UNKNOWN[arguments]} (see nova-gpu --help)\n"
    assert nova_gpu(*arguments) == (2, "", message)


def test_a_similar_option_is_named(nova_gpu):
    assert nova_gpu("host", "audit", "--hosst", "x")[2] == (
        "nova-gpu: unrecognized arguments: --hosst x; did you mean --host? (see nova-gpu host "
        "audit --help)\n"
    )


def test_an_unknown_column(nova_gpu, tree):
    status, out, err = nova_gpu("gpu", "list", "--root", tree(L40S), "-c", "Adress")
    assert (status, out) == (2, "")
    assert err == "nova-gpu: this list has no column Adress; did you mean Address?\n"


def test_the_commands_are_grouped(nova_gpu):
    _, out, _ = nova_gpu("--help")
    lines = out.splitlines()
    titles = [f"{group}:" for group in CommandGroup]
    assert [line for line in lines if line in titles] == titles
    by_group = {title: out.partition(f"\n{title}\n")[2].partition("\n\n")[0] for title in titles}
    for group, command in (("HOST", "host audit"), ("FLEET", "lint"), ("CLOUD", "host list")):
        assert f"  {command} " in by_group[f"{CommandGroup[group]}:"]
    assert set(by_group[f"{CommandGroup.OTHER}:"].split("\n")) >= {
        "  help             Print the help of a command"
    }
