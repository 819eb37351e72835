# SPDX-License-Identifier: Apache-2.0
"""One control plane for all tests, which restore its state.

``NOVA_GPU_CLOUD=DIR`` uses one that ``python -m tests.cloud --dir DIR`` keeps, so that a test can
be run again and again without waiting; tests that end services fail with it.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.cache import ROOT
from tests.cloud import packages
from tests.cloud.control_plane import ControlPlane
from tests.debian import Unavailable

#: Seconds for a test, including the start of the control plane.
_LIMIT = 600
#: Directory of the services' logs.
_LOGS = ROOT / "test-results" / "cloud"


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_LIMIT))


@pytest.fixture(scope="session")
def plane():
    if why := packages.reason():
        pytest.skip(why)
    if running := os.environ.get("NOVA_GPU_CLOUD"):
        yield ControlPlane.attached(Path(running))
        return
    cloud = ControlPlane()
    try:
        cloud.start()
    except Unavailable as error:
        pytest.skip(str(error))
    try:
        yield cloud
        shutil.rmtree(_LOGS, ignore_errors=True)
        shutil.copytree(cloud.site.logs, _LOGS)
    finally:
        cloud.stop()
