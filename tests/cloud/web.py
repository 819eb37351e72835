# SPDX-License-Identifier: Apache-2.0
"""OpenStack's APIs as WSGI applications under uWSGI."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.cloud import ports
from tests.cloud.processes import Keeper, Service

BIN = Path(sys.prefix) / "bin"
_OPTIONS = (
    "--processes=1",
    "--enable-threads",
    "--lazy-apps",
    "--die-on-term",
    "--need-app",
    "--buffer-size=65535",
    "--listen=100",
    # Needed by clients of OpenStack services without a web server in front (as in DevStack).
    "--add-header=Connection: close",
    "--disable-logging",
)


def service(
    name: str,
    module: str,
    port: int,
    *,
    environment: Mapping[str, str],
    directory: Path,
    log: Path,
    keeper: Keeper,
    threads: int = 6,
) -> Service:
    """Return a process with several threads that serves ``<module>:application``."""
    return Service(
        name,
        [
            BIN / "uwsgi",
            f"--http-socket={ports.ADDRESS}:{port}",
            f"--module={module}:application",
            f"--threads={threads}",
            *_OPTIONS,
        ],
        keeper=keeper,
        log=log,
        environment=environment,
        directory=directory,
        ready=lambda _: _answers(url(port)),
        patience=5,
    )


def url(port: int, path: str = "") -> str:
    return f"http://{ports.ADDRESS}:{port}{path}"


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=10):
            return True
    except urllib.error.HTTPError as error:
        # Several versions (300), or a version document that needs authentication (401).
        return error.code < 500
    except urllib.error.URLError:
        return False
