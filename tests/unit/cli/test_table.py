# SPDX-License-Identifier: Apache-2.0
"""How lists are laid out on a terminal."""

import argparse
import io

import pytest

from nova_gpu_passthrough.cli import terminal
from nova_gpu_passthrough.cli.listing import ColouredColumn, ListColumn, OptionalColumn
from nova_gpu_passthrough.cli.table import Layout, TerminalTable
from nova_gpu_passthrough.inventory.findings import Severity

NAMES = ("Host", "Server", "GPUs", "Note")
COMMAND = "`openstack server delete train-1`"
NOTE = f"the server is gone; to free the GPU, use {COMMAND} and wait until it ends"
ROW = ("gpu01", ListColumn(["train-1", "train-with-a-long-name"]), 8, NOTE)
LAYOUT = Layout(prose=("Note",), heading=("Host",))


def render(rows, width, layout=LAYOUT, names=NAMES):
    out = io.StringIO()
    options = argparse.Namespace(max_width=width, fit_width=False, print_empty=False)
    TerminalTable(layout).emit_list(names, rows, out, options)
    return out.getvalue()


def test_without_a_width_nothing_wraps():
    assert f"| gpu01 | train-1, train-with-a-long-name |    8 | {NOTE} |" in render([ROW], 0)


def test_prose_wraps_between_words_and_lists_between_items():
    out = render([ROW], 100)
    assert out.startswith("+")
    assert max(map(len, out.splitlines())) <= 100
    for whole in ("gpu01", "train-1", "train-with-a-long-name", COMMAND):
        assert whole in out
    assert NOTE not in out
    assert "|    8 |" in out


def test_a_table_that_does_not_fit_becomes_blocks():
    assert render([ROW, ("gpu02", ListColumn(()), 4, "")], 60) == (
        "gpu01\n"
        "  Server: train-1, train-with-a-long-name\n"
        "  GPUs:   8\n"
        "  Note:   the server is gone; to free the GPU, use\n"
        f"          {COMMAND} and wait until\n"
        "          it ends\n"
        "\n"
        "gpu02\n"
        "  GPUs:   4\n"
    )


def test_what_is_longer_than_the_terminal_stays_whole():
    out = render([ROW], 20)
    assert f"    {COMMAND}\n" in out
    assert "train-with-a-long-name\n" in out


def test_a_command_on_its_own_line_stays_whole():
    command = "  nova-gpu config generate --fleet fleet.yaml --write out"
    row = ("gpu01", OptionalColumn(None), 1, f"It lacks a file that the fleet has:\n{command}")
    out = render([row], 30)
    assert "    It lacks a file that the\n    fleet has:\n" in out
    assert f"    {command.strip()}\n" in out


def test_blocks_may_be_preferred():
    rows = [("a", "b", 1, "c")]
    assert render(rows, 100, Layout(heading=("Host", "Server"), blocks=True)) == (
        "a  b\n  GPUs: 1\n  Note: c\n"
    )
    assert render(rows, 0, Layout(blocks=True)).startswith("+")


def test_several_values_in_the_heading_of_a_block_follow_each_other():
    gpus = [f"0000:{bus}:00.0" for bus in range(18, 26)]
    rows = [("gpu01", "\n".join(gpus), 8, "x")]
    assert render(rows, 60, Layout(heading=("Host", "Server"), blocks=True)).splitlines()[:3] == [
        f"gpu01  {'  '.join(gpus[:3])}",
        f"    {'  '.join(gpus[3:7])}",
        f"    {gpus[7]}",
    ]


def test_wide_characters_and_colours_count_as_they_appear(monkeypatch):
    monkeypatch.setattr(terminal, "shows_colours", lambda: True)
    rows = [("主机主机", ColouredColumn(Severity.OK), 1, "x " * 40)]
    for line in render(rows, 70).splitlines()[3:-1]:
        assert "主机主机 | \x1b[32mok\x1b[0m     |" in line or line.startswith("|          |")


def test_colours_of_others_are_shown_as_escapes():
    out = render([("a", ListColumn(["\x1b[31mred", "b\nc"]), 1, "d\ne\r")], 70)
    assert r"\x1b[31mred, b\nc" in out
    assert r"e\r" in out
    assert "\x1b" not in out
    assert r"| \x1b[31mred, b\nc |" in render(
        [("a", ListColumn(["\x1b[31mred", "b\nc"]), 1, "d")], 0
    )


@pytest.mark.parametrize("width", range(1, 200, 7))
def test_no_width_breaks_or_loses_a_word(width):
    out = render([ROW], width)
    words = [word for line in out.splitlines() for word in line.strip("|").split() if word != "|"]
    for word in NOTE.split():
        assert word in words
