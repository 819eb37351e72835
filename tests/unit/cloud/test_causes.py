# SPDX-License-Identifier: Apache-2.0
"""Reasons and URLs within exceptions."""

import pytest
import requests

from nova_gpu_passthrough.cloud import failures


def raised(error, cause=None):
    """An exception that was raised from, or while another was handled."""
    try:
        if cause is None:
            raise error
        try:
            raise cause
        except BaseException:
            raise error  # noqa: B904
    except BaseException as found:
        return found


REFUSED = ConnectionRefusedError(111, "Connection refused")


@pytest.mark.parametrize(
    "error",
    [
        REFUSED,
        requests.ConnectionError(REFUSED),
        requests.ConnectionError(requests.ConnectionError(REFUSED)),
        raised(ValueError("x"), REFUSED),
        raised(ValueError("x"), raised(KeyError("y"), requests.ConnectionError(REFUSED))),
    ],
)
def test_the_system_s_word_wherever_it_is(error):
    assert failures.reason(error) == "Connection refused"


def test_time_that_is_up():
    assert failures.reason(requests.ReadTimeout("Read timed out.")) == "it gave no answer in time"


def test_the_innermost_words_else():
    assert failures.reason(raised(ValueError("x"), KeyError("y"))) == "'y'"
    assert failures.reason(KeyError()) == "KeyError"


def test_circles_end():
    error = ValueError("x")
    error.__context__ = error
    assert list(failures.chain(error)) == [error]


@pytest.mark.parametrize(
    ("error", "url"),
    [
        (ValueError("Unable to connect to http://a:1/b: no"), "http://a:1/b"),
        (ValueError("HTTPConnectionPool(host='a')"), ""),
        (requests.Timeout(request=requests.Request("GET", "https://c/d")), "https://c/d"),
        (raised(ValueError("x"), ValueError("see https://e/f.")), "https://e/f"),
    ],
)
def test_what_was_asked_for(error, url):
    assert failures.url_of(error) == url


class Answer:
    """A response with a body."""

    def __init__(self, body):
        self.body = body

    def json(self):
        if self.body is None:
            raise ValueError
        return self.body


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"forbidden": {"code": 403, "message": "a\nb"}}, "a b"),
        ({"errors": [{"status": 403, "title": "t", "detail": "d"}]}, "d"),
        ({"error": {"code": 404, "message": "m"}}, "m"),
        ({"errors": []}, ""),
        ({"hello": "world"}, ""),
        ([1], ""),
        (None, ""),
    ],
)
def test_what_a_service_says(body, detail):
    assert failures.detail_of(Answer(body)) == detail


def test_no_answer_says_nothing():
    assert failures.detail_of(None) == ""
