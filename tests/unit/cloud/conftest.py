# SPDX-License-Identifier: Apache-2.0
import pytest
import requests_mock

from tests.unit.cloud.fake_cloud import FakeCloud
from tests.unit.cloud.fake_placement import Placement


@pytest.fixture
def cloud():
    """Return an empty cloud."""
    placement = Placement()
    try:
        with requests_mock.Mocker() as mocker:
            yield FakeCloud(mocker, placement)
    finally:
        placement.close()
