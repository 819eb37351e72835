# SPDX-License-Identifier: Apache-2.0
"""Placement with the generated options."""

from __future__ import annotations

from tests.cloud import ini, web
from tests.cloud.processes import Service
from tests.cloud.site import Site


def configure(site: Site) -> None:
    """Write placement.conf, and let Placement find the directory beside it.

    Placement has no option ``--config-dir``: it reads ``placement.conf.d`` below its HOME (see
    ``find_config_dirs`` in oslo_config/cfg.py).
    """
    folder = site.control / "placement"
    ini.write(
        folder / "placement.conf",
        {
            "placement_database": site.database("placement"),
            "keystone_authtoken": site.tokens("placement"),
        },
    )
    (site.directory / ".placement").symlink_to(folder)


def create(site: Site) -> None:
    """Create the tables."""
    site.run(
        "placement-manage",
        *("placement-manage", "--config-file", site.control / "placement" / "placement.conf"),
        *("db", "sync"),
    )


def service(site: Site) -> Service:
    return web.service(
        "placement",
        "placement.wsgi.api",
        site.ports["placement"],
        environment=site.environment(OS_PLACEMENT_CONFIG_DIR=str(site.control / "placement")),
        directory=site.directory,
        log=site.log("placement"),
        keeper=site.keeper,
    )
