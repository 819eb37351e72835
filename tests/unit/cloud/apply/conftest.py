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
    """Apply the desired state, with no refusal; return the plan after it."""

    def run(desired, **options):
        assert direct.apply(desired, **options) == []
        return direct.plan(desired, **options)

    return run


@pytest.fixture
def reasons(direct):
    """Return the skipped changes of a plan, one sentence each."""
    return lambda desired, **options: [
        str(change) for change in direct.plan(desired, **options).skipped
    ]
