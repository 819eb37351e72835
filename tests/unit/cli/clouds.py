# SPDX-License-Identifier: Apache-2.0
"""The fake cloud of tests of commands that connect to a cloud."""

import contextlib

import pytest
import yaml

from tests.unit.cloud.conftest import cloud as cloud
from tests.unit.cloud.fake_cloud import ENDPOINTS


@pytest.fixture
def named(cloud, monkeypatch, tmp_path):
    """The fake cloud as ``test`` in clouds.yaml, and as ``tenant`` for a user without admin."""
    common = {
        "auth_url": ENDPOINTS["identity"],
        "project_name": "admin",
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    users = {"test": "admin", "tenant": "alice"}
    clouds = {
        name: {"auth": {**common, "username": user, "password": cloud.keystone.passwords[user]}}
        for name, user in users.items()
    }
    file = tmp_path / "clouds.yaml"
    file.write_text(yaml.safe_dump({"clouds": clouds}))
    for name in ("OS_CLOUD", "NOVA_GPU_FLEET"):
        with contextlib.suppress(KeyError):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    monkeypatch.setenv("COLUMNS", "400")
    return cloud
