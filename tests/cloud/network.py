# SPDX-License-Identifier: Apache-2.0
"""Neutron without drivers: Nova lists the ports of servers, which have none."""

from __future__ import annotations

from tests.cloud import ini, web
from tests.cloud.broker import MESSAGING
from tests.cloud.processes import Service
from tests.cloud.site import Site


def configure(site: Site) -> None:
    ini.write(
        site.control / "neutron" / "neutron.conf",
        {
            "DEFAULT": {
                "core_plugin": "ml2",
                "service_plugins": "",
                "transport_url": site.transport_url,
                "api_paste_config": web.BIN.parent / "etc/neutron/api-paste.ini",
                "state_path": site.directory / "neutron",
                "notify_nova_on_port_status_changes": False,
                "notify_nova_on_port_data_changes": False,
            },
            "database": site.database("neutron"),
            "keystone_authtoken": site.tokens("neutron"),
            "oslo_concurrency": {"lock_path": site.directory / "neutron"},
            "oslo_messaging_rabbit": MESSAGING,
            "ml2": {"type_drivers": "", "tenant_network_types": "", "mechanism_drivers": ""},
        },
    )


def create(site: Site) -> None:
    """Create the tables."""
    configuration = ("--config-file", site.control / "neutron" / "neutron.conf")
    site.run("neutron-db-manage", "neutron-db-manage", *configuration, "upgrade", "heads")


def service(site: Site) -> Service:
    return web.service(
        "neutron",
        "neutron.wsgi.api",
        site.ports["network"],
        environment=site.environment(
            OS_NEUTRON_CONFIG_DIR=str(site.control / "neutron"),
            OS_NEUTRON_CONFIG_FILES="neutron.conf",
        ),
        directory=site.directory,
        log=site.log("neutron"),
        keeper=site.keeper,
        threads=4,
    )
