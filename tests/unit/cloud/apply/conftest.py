# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.unit.cloud.apply.direct import DirectCloud


@pytest.fixture
def direct():
    """An empty cloud with two hosts."""
    cloud = DirectCloud()
    cloud.add_hosts("gpu01", "gpu02")
    return cloud


@pytest.fixture
def apply(direct):
    """Bring the cloud to what is desired; nothing may be refused."""

    def run(desired, **options):
        assert direct.apply(desired, **options) == []
        return direct.plan(desired, **options)

    return run


@pytest.fixture
def reasons(direct):
    """What is held back of what is desired, one sentence each."""
    return lambda desired, **options: [str(held) for held in direct.plan(desired, **options).held]
