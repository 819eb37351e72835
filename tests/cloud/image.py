# SPDX-License-Identifier: Apache-2.0
"""Glance with a file store."""

from __future__ import annotations

from tests.cloud import ini, web
from tests.cloud.processes import Service
from tests.cloud.site import Site

#: The image of all servers. It is never booted, so its content does not matter.
NAME = "cirros-like"


def configure(site: Site) -> None:
    store = site.directory / "images"
    folders = {name: store / name for name in ("store", "staging", "tasks")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    ini.write(
        site.control / "glance" / "glance-api.conf",
        {
            "DEFAULT": {"enabled_backends": "files:file", "enable_import_methods": "[]"},
            "database": site.database("glance"),
            "glance_store": {"default_backend": "files"},
            "files": {"filesystem_store_datadir": folders["store"]},
            "os_glance_staging_store": {"filesystem_store_datadir": folders["staging"]},
            "os_glance_tasks_store": {"filesystem_store_datadir": folders["tasks"]},
            "paste_deploy": {
                "flavor": "keystone",
                "config_file": web.BIN.parent / "etc/glance/glance-api-paste.ini",
            },
            "keystone_authtoken": site.tokens("glance"),
        },
    )


def create(site: Site) -> None:
    """Create the tables."""
    configuration = ("--config-file", site.control / "glance" / "glance-api.conf")
    site.run("glance-manage", "glance-manage", *configuration, "db", "sync")


def service(site: Site) -> Service:
    return web.service(
        "glance",
        "glance.wsgi.api",
        site.ports["image"],
        environment=site.environment(OS_GLANCE_CONFIG_DIR=str(site.control / "glance")),
        directory=site.directory,
        log=site.log("glance"),
        keeper=site.keeper,
        threads=4,
    )
