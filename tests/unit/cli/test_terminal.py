# SPDX-License-Identifier: Apache-2.0
"""Progress bars appear only on terminals."""

import io
import sys

from nova_gpu_passthrough.cli import terminal


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_nothing_is_shown_in_a_pipe(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with terminal.progress_bar() as update:
        assert update is None
    assert sys.stderr.getvalue() == ""


def test_a_terminal_shows_the_progress(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with terminal.progress_bar() as update:
        update("servers", 1, 4)
        update("servers", 4, 4)
    shown = sys.stderr.getvalue()
    assert "servers" in shown
    assert "4/4" in shown
