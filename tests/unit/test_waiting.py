# SPDX-License-Identifier: Apache-2.0
"""Waiting with a limit."""

import io
import sys
import time

import pytest

from nova_gpu_passthrough import waiting


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(waiting, "NOTICE_SECONDS", 0.1)


def test_a_result_and_an_exception_are_passed_on():
    assert waiting.limited(lambda: 7, 5) == 7
    error = TimeoutError("of the work itself")
    with pytest.raises(TimeoutError) as caught:
        waiting.limited(lambda: (_ for _ in ()).throw(error), 5)
    assert caught.value is error


def test_a_quick_result_is_not_reported(soon):
    reported = []
    assert waiting.limited(lambda: "x", 5, reported.append) == "x"
    assert reported == []


def test_a_late_result_is_reported_once_before_it_comes(soon):
    reported = []
    assert waiting.limited(lambda: time.sleep(0.3), 5, reported.append) is None
    assert reported == [0.1]


def test_the_limit(soon):
    reported, started = [], time.monotonic()
    with pytest.raises(TimeoutError, match=r"no result within 0\.3 s"):
        waiting.limited(lambda: time.sleep(5), 0.3, reported.append)
    assert 0.3 <= time.monotonic() - started < 3
    assert reported == [0.1]


def test_a_limit_below_the_time_of_the_notice_is_not_reported():
    reported = []
    with pytest.raises(TimeoutError):
        waiting.limited(lambda: time.sleep(5), 0.1, reported.append)
    assert reported == []


def test_a_notice_that_nobody_can_read(monkeypatch, capsys):
    waiting.notify("a line")
    assert capsys.readouterr().err == "a line\n"
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    waiting.notify("a line")
