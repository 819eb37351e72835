# SPDX-License-Identifier: Apache-2.0
"""Control characters of others do not reach the terminal, and programs get them exactly."""

import io
import json
import os
import pty
import sys
import threading

import pytest

from nova_gpu_passthrough.cli.main import main
from nova_gpu_passthrough.cli.printable import PrintableStream, printable, printable_output, raw
from tests.unit.cli.clouds import cloud as cloud
from tests.unit.cli.clouds import named as named
from tests.unit.cloud import clouds
from tests.unit.generate import builders

#: Sets the title of the window, clears the screen, hides text, and reverses it.
HOSTILE = "a\x1b]0;title\x07\x1b[2J\x1b[31m\r\x9b8m\u202eb"
SHOWN = r"a\x1b]0;title\x07\x1b[2J\x1b[31m\r\x9b8m\u202eb"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_escapes_are_visible():
    assert printable(HOSTILE) == SHOWN
    assert printable("a\nb\tc") == r"a\nb\tc"
    assert printable("a\nb\tc", keep="\n\t") == "a\nb\tc"
    assert printable("\ud800") == r"\ud800"
    assert printable("größe 中文 🙂 \\x1b") == "größe 中文 🙂 \\x1b"


def test_a_file_gets_escapes_only():
    file = io.StringIO()
    stream = PrintableStream(file)
    stream.writelines([HOSTILE, "\n\tx\x1b[0m"])
    assert file.getvalue() == SHOWN + "\n\tx" + r"\x1b[0m"


def test_a_terminal_gets_this_program_s_colours():
    file = Terminal()
    print("\x1b[1;31mfailure\x1b[0m\x1b[2J", file=PrintableStream(file))
    assert file.getvalue() == "\x1b[1;31mfailure\x1b[0m\\x1b[2J\n"


def test_the_streams_are_wrapped_once_and_restored(capsys):
    before = sys.stdout, sys.stderr
    with printable_output(), printable_output():
        assert raw(sys.stdout) is before[0]
        assert sys.stderr.isatty() is before[1].isatty()
        print("\x07")
        print("\x08", file=sys.stderr)
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == ("\\x07\n", "\\x08\n")


def test_a_process_without_output(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with printable_output():
        assert sys.stdout is None


@pytest.fixture
def hostile(named):
    """A cloud whose operators and tenants write what they like."""
    resolved = clouds.fleet(builders.l40s("l40s1", 2))
    providers = clouds.run_computes(named, resolved)
    flavor = named.nova.add_flavor("one", 2, 1024, pci_passthrough__alias="l40s:1")
    clouds.boot(named, providers, "l40s1", ("0000:41:00.0",), flavor, name=HOSTILE)
    (service,) = named.nova.services
    service |= {"status": "disabled", "disabled_reason": HOSTILE}
    return named


def on_terminal(*arguments):
    """Run nova-gpu on a terminal; return what the terminal got."""
    master, slave = pty.openpty()
    chunks = []

    def read():
        try:
            while chunk := os.read(master, 4096):
                chunks.append(chunk)
        except OSError:
            pass

    reader = threading.Thread(target=read)
    reader.start()
    before = sys.stdout, sys.stderr
    with open(slave, "w", encoding="utf-8") as terminal:
        sys.stdout, sys.stderr = terminal, io.StringIO()
        try:
            main([*map(str, arguments)])
        finally:
            sys.stdout, sys.stderr = before
    reader.join()
    os.close(master)
    return b"".join(chunks).decode()


#: Commands that print names of servers and reasons.
COMMANDS = [
    ("device", "list"),
    ("device", "list", "--long"),
    ("host", "list", "--long"),
    ("device", "list", "-f", "csv"),
    ("host", "list", "--long", "-f", "value"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("columns", ["60", "200"])
def test_a_terminal_gets_no_control_character(hostile, monkeypatch, command, columns):
    monkeypatch.setenv("COLUMNS", columns)
    shown = on_terminal("--os-cloud", "test", *command)
    # The terminal driver itself adds a carriage return to each line.
    assert not set(shown.replace("\r\n", "\n")) & set(HOSTILE) - set(SHOWN)
    assert r"\x1b]0;title\x07" in shown.replace("\\\\", "\\")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_pipe_gets_no_control_character(hostile, nova_gpu, command):
    status, out, err = nova_gpu("--os-cloud", "test", *command)
    assert (status, err) == (0, "")
    assert not set(out) & set(HOSTILE) - set(SHOWN)
    # csv has escapes for backslashes.
    assert SHOWN in out.replace("\\\\", "\\")


def test_json_is_exact(hostile, nova_gpu):
    status, out, _ = nova_gpu("--os-cloud", "test", "device", "list", "-f", "json")
    assert [HOSTILE] in [row["Server"] for row in json.loads(out)]
    status, out, _ = nova_gpu("--os-cloud", "test", "host", "list", "--long", "-f", "json")
    assert [row["Disabled Reason"] for row in json.loads(out)] == [HOSTILE]


def test_an_error_about_a_file(nova_gpu, tmp_path):
    status, out, err = nova_gpu("flavor", "generate", "--fleet", tmp_path / "a\x1b[2J.yaml")
    assert (status, out) == (2, "")
    assert r"\x1b[2J" in err
    assert "\x1b" not in err


def test_the_drawing_of_a_host(nova_gpu, tmp_path):
    import dataclasses

    from nova_gpu_passthrough.inventory import store

    inventory = dataclasses.replace(builders.l40s("l40s1", 2), host=HOSTILE)
    file = tmp_path / "hostile.yaml"
    file.write_text(store.dump(inventory, "x"))
    status, out, err = nova_gpu("host", "draw", "--inventory", file)
    assert (status, err) == (0, "")
    # The library that draws has removed some.
    assert r"a\x1b]0;title" in out
    assert not set(out) & set(HOSTILE) - set(SHOWN)
