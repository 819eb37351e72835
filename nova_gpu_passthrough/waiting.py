# SPDX-License-Identifier: Apache-2.0
"""Wait for something that may never come: say so after a while, and give up at a limit.

The timeouts of HTTP libraries are those of one system call. They do not cover a name server that
does not answer, several addresses of one name, or a response that arrives byte by byte.
"""

import contextlib
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

_T = TypeVar("_T")

#: Seconds until a person would ask what the program does.
NOTICE_SECONDS = 5.0


def limited(
    work: Callable[[], _T],
    seconds: float,
    report: Callable[[float], None] = lambda waited: None,
) -> _T:
    """Return the result of ``work``, or raise its exception.

    It runs in a daemon thread, so that the program can go on, and end, while it hangs.

    :param seconds: how long to wait
    :param report: called with the seconds waited, if there is no result after `NOTICE_SECONDS`
    :raises TimeoutError: if there is no result in time
    """
    result: futures.Future[_T] = futures.Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, name="waiting", daemon=True).start()
    first = min(seconds, NOTICE_SECONDS)
    futures.wait([result], first)
    if not result.done() and seconds > first:
        report(first)
        futures.wait([result], seconds - first)
    if not result.done():
        raise TimeoutError(f"no result within {seconds:g} s")
    return result.result()


def notify(text: str) -> None:
    """Print a line on standard error."""
    # Nobody may read it any more; that is no reason to end.
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)
