# SPDX-License-Identifier: Apache-2.0
"""What exceptions of openstacksdk, keystoneauth and requests, and services' answers, hold."""

import re
from collections.abc import Iterator
from typing import Any

_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")
#: Longer than any sentence of a service; a page of HTML is not told.
_MOST = 600


def chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and what led to it, the outermost first.

    Requests and urllib3 hold what they failed by in their arguments, or as a reason.
    """
    todo: list[Any] = [error]
    seen: list[BaseException] = []
    while todo:
        cause = todo.pop(0)
        if isinstance(cause, BaseException) and cause not in seen:
            seen.append(cause)
            yield cause
            todo += [cause.__cause__ or cause.__context__, getattr(cause, "reason", None)]
            todo += cause.args


def reason(error: BaseException) -> str:
    """The system's own word, such as "Connection refused"."""
    import requests

    causes = list(chain(error))
    for cause in reversed(causes):
        if (
            isinstance(cause, OSError)
            and cause.strerror
            and not isinstance(cause, requests.RequestException)
        ):
            return cause.strerror
    if any("timed out" in str(cause).lower() for cause in causes):
        return "it gave no answer in time"
    return words(causes[-1])


def url(error: BaseException) -> str:
    """What was asked for, if an exception or a message on the way tells; else nothing."""
    for cause in chain(error):
        asked = getattr(getattr(cause, "request", None), "url", None)
        if asked:
            return str(asked)
        found = re.search(r"https?://[^\s'\",;)]+", str(cause))
        if found:
            return found[0].rstrip(":.")
    return ""


def detail(response: Any) -> str:
    """What a service says of the reason, or nothing.

    Nova: ``{"forbidden": {"message": ...}}``, Placement: ``{"errors": [{"detail": ...}]}``,
    Keystone: ``{"error": {"message": ...}}``.
    """
    try:
        body = response.json()
    except (AttributeError, ValueError):
        return ""
    parts = list(body.values()) if isinstance(body, dict) else []
    for part in parts:
        first = part[0] if isinstance(part, list) and part else part
        if isinstance(first, dict):
            text = first.get("message") or first.get("detail") or first.get("title")
            if text:
                return " ".join(str(text).split())
    return ""


def words(error: BaseException) -> str:
    """The message on one line, or the kind of exception."""
    return " ".join(str(error).split()) or type(error).__name__


def clean(text: str) -> str:
    """Without line breaks, secrets and pages of HTML."""
    from oslo_utils import strutils

    text = " ".join(_LOGIN.sub("", strutils.mask_password(text)).split())
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."
