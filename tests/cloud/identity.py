# SPDX-License-Identifier: Apache-2.0
"""Keystone."""

from __future__ import annotations

from pathlib import Path

from cryptography.fernet import Fernet

from tests.cloud import ini, web
from tests.cloud.processes import Service
from tests.cloud.site import PASSWORD, REGION, Site

_MODULE = "keystone.wsgi.api"


def configure(site: Site, keys: Path) -> None:
    """Write keystone.conf.

    :param keys: the folder of its keys, see `make_keys`
    """
    ini.write(
        site.control / "keystone" / "keystone.conf",
        {
            "database": site.database("keystone"),
            "token": {"provider": "fernet", "expiration": 6 * 3600},
            "fernet_tokens": {"key_repository": keys},
            "fernet_receipts": {"key_repository": keys},
            "credential": {"key_repository": keys},
            # With the default, bcrypt takes a second for each token.
            "identity": {"password_hash_rounds": 4},
            "cache": {"enabled": True, "backend": "oslo_cache.dict"},
        },
    )


def make_keys(folder: Path) -> None:
    """Write the keys of ``keystone-manage fernet_setup``: one staged, one primary."""
    folder.mkdir(mode=0o700)
    for number in range(2):
        key = folder / str(number)
        key.touch(mode=0o600)
        key.write_bytes(Fernet.generate_key())


def create(site: Site) -> None:
    """Create the tables, the first user and its role, and the identity endpoint."""
    configuration = ("--config-file", site.control / "keystone" / "keystone.conf")
    site.run("keystone-manage", "keystone-manage", *configuration, "db_sync")
    urls = {
        word
        for interface in ("public", "internal")
        for word in (f"--bootstrap-{interface}-url={site.auth_url}",)
    }
    site.run(
        "keystone-manage",
        *("keystone-manage", *configuration, "bootstrap"),
        *("--bootstrap-password", PASSWORD, "--bootstrap-region-id", REGION),
        *sorted(urls),
    )


def service(site: Site) -> Service:
    return web.service(
        "keystone",
        _MODULE,
        site.ports["identity"],
        environment=site.environment(OS_KEYSTONE_CONFIG_DIR=str(site.control / "keystone")),
        directory=site.directory,
        log=site.log("keystone"),
        keeper=site.keeper,
    )
