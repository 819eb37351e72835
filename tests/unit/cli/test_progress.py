# SPDX-License-Identifier: Apache-2.0
"""Progress is for people at terminals."""

import io
import sys

from nova_gpu_passthrough.cli import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_nothing_is_shown_in_a_pipe(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress.shown() as tell:
        assert tell is None
    assert sys.stderr.getvalue() == ""


def test_a_terminal_shows_how_far_it_is(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with progress.shown() as tell:
        tell("servers", 1, 4)
        tell("servers", 4, 4)
    shown = sys.stderr.getvalue()
    assert "servers" in shown
    assert "4/4" in shown
