# SPDX-License-Identifier: Apache-2.0
"""Set how Nova runs tasks before it is imported, and show the cloud's log of a failed test.

With pytest-xdist, name this directory on the command line, so that this file is read early enough.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

_WORKER = "PYTEST_XDIST_WORKER" in os.environ

if _WORKER:
    import tests.embedded

    if not tests.embedded.NATIVE_THREADS:
        from tests.embedded import xdist_worker

        xdist_worker.start()


def pytest_configure(config: pytest.Config) -> None:
    if not _WORKER and not getattr(config.option, "numprocesses", None):
        import tests.embedded  # noqa: F401


def pytest_unconfigure() -> None:
    if _WORKER and not tests.embedded.NATIVE_THREADS:
        xdist_worker.finish()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    report = yield
    cloud = getattr(getattr(item, "instance", None), "cloud", None)
    if report.failed and cloud is not None:
        lines = [f"{line.level} {line.logger}: {line.message}" for line in cloud.log.lines]
        report.sections.append(("embedded cloud (last 80 lines)", "\n".join(lines[-80:])))
    return report
