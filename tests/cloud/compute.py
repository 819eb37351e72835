# SPDX-License-Identifier: Apache-2.0
"""Nova: API, conductor, scheduler and computes, each with its generated configuration."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests import cache
from tests.cloud import ini, web
from tests.cloud.broker import MESSAGING
from tests.cloud.processes import Service
from tests.cloud.site import REGION, Site

#: URLs in a cell's record that a service completes from its own configuration, so that the
#: record is valid with other ports, too (nova/objects/cell_mapping.py).
_DATABASE = "{scheme}://{username}:{password}@{hostname}:{port}/%s?{query}"
_TRANSPORT = "{scheme}://{username}:{password}@{hostname}:{port}/{path}"
#: The last message that a service logs before it is ready (Service.start in nova/service.py).
_JOINED = "Join ServiceGroup membership for this service"


def configure(site: Site, hosts: Sequence[str], endpoint: str) -> None:
    """Write nova.conf of the control plane and of each host.

    :param endpoint: id of Nova's public endpoint, whose service and region limits belong to
    """
    common = _common(site)
    folder = site.control / "nova"
    state = {"state_path": site.directory / "nova"}
    control: ini.Sections = {
        # Start periodic tasks immediately, not within a minute.
        "DEFAULT": {**state, "periodic_fuzzy_delay": 0},
        "api_database": site.database("nova_api"),
        "database": site.database("nova"),
        "oslo_concurrency": {"lock_path": site.directory / "nova"},
        "conductor": {"workers": 1},
        "scheduler": {"workers": 1, "discover_hosts_in_cells_interval": 3},
        "quota": {"driver": "nova.quota.UnifiedLimitsDriver"},
        # Reading limits needs a system role, not a project role.
        "oslo_limit": {
            **{
                name: value
                for name, value in site.user("nova").items()
                if not name.startswith("project_")
            },
            "system_scope": "all",
            "endpoint_id": endpoint,
        },
    }
    ini.write(folder / "nova.conf", ini.merged(common, control))
    # nova-api uses the first of its configuration files also as this one.
    shutil.copy(web.BIN.parent / "etc/nova/api-paste.ini", folder)
    (site.directory / ".nova").symlink_to(folder)
    for host in hosts:
        own = site.directory / "hosts" / host
        (own / "instances").mkdir(parents=True)
        sections: ini.Sections = {
            "DEFAULT": {
                "host": host,
                "compute_driver": "libvirt.LibvirtDriver",
                "state_path": own,
                "instances_path": own / "instances",
            },
            "oslo_concurrency": {"lock_path": own},
            # A test with failing boots must not disable the host for the next test.
            "compute": {
                "consecutive_build_service_disable_threshold": 0,
                "provider_config_location": site.config / host / "etc/nova/provider_config",
            },
            "vnc": {"enabled": False},
            "spice": {"enabled": False},
        }
        ini.write(site.config / host / "etc/nova/nova.conf", ini.merged(common, sections))


def create(site: Site) -> None:
    """Create the tables and the cells."""
    site.run("nova-manage", *_manage(site), "api_db", "sync")
    cell0 = ("--database_connection", _DATABASE % "nova_cell0")
    site.run("nova-manage", *_manage(site), "cell_v2", "map_cell0", *cell0)
    cell1 = ("--database_connection", _DATABASE % "nova", "--transport-url", _TRANSPORT)
    site.run("nova-manage", *_manage(site), "cell_v2", "create_cell", "--name", "cell1", *cell1)
    site.run("nova-manage", *_manage(site), "db", "sync")


def services(site: Site, inventories: Mapping[str, Path]) -> list[Service]:
    """Return all of Nova's services.

    :param inventories: the inventory's file by host
    """
    found = [
        web.service(
            "nova-api",
            "nova.wsgi.osapi_compute",
            site.ports["compute"],
            environment=site.environment(OS_NOVA_CONFIG_DIR=str(site.control / "nova")),
            directory=site.directory,
            log=site.log("nova-api"),
            keeper=site.keeper,
            threads=10,
        )
    ]
    for name in ("nova-conductor", "nova-scheduler"):
        found.append(_service(site, name, [web.BIN / name], site.control / "nova"))
    launcher: list[str | Path] = [sys.executable, "-m", "tests.cloud.compute_launcher"]
    for host, inventory in inventories.items():
        folder = site.config / host / "etc/nova"
        domains = site.directory / "hosts" / host / "domains.json"
        command = [*launcher, inventory, domains]
        found.append(_service(site, f"nova-compute-{host}", command, folder))
    return found


def _service(site: Site, name: str, command: Sequence[str | Path], folder: Path) -> Service:
    return Service(
        name,
        [
            *command,
            f"--config-file={folder / 'nova.conf'}",
            f"--config-dir={folder / 'nova.conf.d'}",
        ],
        keeper=site.keeper,
        log=site.log(name),
        environment=site.environment(PYTHONPATH=str(cache.ROOT)),
        directory=site.directory,
        ready=lambda service: _JOINED in service.since_start(),
    )


def _manage(site: Site) -> tuple[str | Path, ...]:
    return ("nova-manage", "--config-file", site.control / "nova" / "nova.conf")


def _common(site: Site) -> ini.Sections:
    """Return the options of all Nova services, with short times for tests that kill services."""
    patient: dict[str, ini.Value] = {
        "connect_retries": 10,
        "connect_retry_delay": 1,
        "status_code_retries": 3,
        "status_code_retry_delay": 1,
    }
    return {
        "DEFAULT": {
            "debug": True,
            "log_options": False,
            "my_ip": "127.0.0.1",
            "transport_url": site.transport_url,
            "rpc_response_timeout": 30,
            "report_interval": 5,
            "service_down_time": 40,
        },
        "api": {"auth_strategy": "keystone"},
        "keystone_authtoken": site.tokens("nova"),
        "keystone": {**site.user("nova"), **patient},
        "service_user": {**site.user("nova"), "send_service_user_token": True},
        "placement": {**site.user("nova"), **patient},
        "neutron": {**site.user("nova"), **patient},
        "glance": {**patient, "region_name": REGION, "num_retries": 3},
        "oslo_messaging_rabbit": MESSAGING,
    }
