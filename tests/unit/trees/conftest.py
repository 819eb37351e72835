# SPDX-License-Identifier: Apache-2.0
"""Trees that many tests read are written once, in memory if possible."""

import pytest

from tests.trees import scratch, write
from tests.unit.trees.strategies import MACHINES


@pytest.fixture(params=MACHINES.values(), ids=MACHINES, scope="session")
def written(request):
    """A machine and the root of its tree, with full configuration spaces. Tests only read it."""
    with scratch.directory() as root:
        yield request.param, write(request.param, root, full_config=True)


@pytest.fixture
def tmp_path():
    """An empty directory; ``tests.trees.scratch`` explains why it is not pytest's."""
    with scratch.directory() as path:
        yield path
