# SPDX-License-Identifier: Apache-2.0
"""The directory, ports, programs and keeper of one control plane."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cloud import broker, database, web
from tests.cloud.ini import Value
from tests.cloud.packages import Programs
from tests.cloud.processes import Keeper, run

REGION = "RegionOne"
#: The password of all users: the cloud is reachable only from this machine, and ends with the test.
PASSWORD = "secret"
PORTS = (
    "mariadb",
    *broker.PORTS,
    "identity",
    "placement",
    "image",
    "network",
    "compute",
)


@dataclass(frozen=True)
class Site:
    """The site of a control plane."""

    directory: Path
    programs: Programs
    ports: Mapping[str, int]
    #: None if another process keeps the control plane.
    keeper: Keeper | None

    @property
    def logs(self) -> Path:
        return self.directory / "log"

    @property
    def config(self) -> Path:
        """The configuration: one directory for each compute host, one for the control plane."""
        return self.directory / "config"

    @property
    def control(self) -> Path:
        """The directory ``etc`` of the control plane."""
        return self.config / "control" / "etc"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def url(self, service: str, path: str = "") -> str:
        return web.url(self.ports[service], path)

    @property
    def auth_url(self) -> str:
        return self.url("identity", "/v3")

    @property
    def transport_url(self) -> str:
        return broker.url(self.ports["rabbitmq"])

    def database(self, name: str) -> dict[str, str | int]:
        return database.options(name, self.ports["mariadb"])

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a service, whose files below HOME take precedence over /etc."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        return {
            **kept,
            "HOME": str(self.directory),
            "PATH": f"{web.BIN}:{os.environ.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
            **more,
        }

    def user(self, name: str) -> dict[str, Value]:
        """Return keystoneauth1's options for a service, which is a user in project ``service``."""
        return {
            "auth_type": "password",
            "auth_url": self.auth_url,
            "username": name,
            "password": PASSWORD,
            "user_domain_name": "Default",
            "project_name": "service",
            "project_domain_name": "Default",
            "region_name": REGION,
        }

    def tokens(self, name: str) -> dict[str, Value]:
        """Return ``[keystone_authtoken]``, with which an API validates tokens."""
        return {
            **self.user(name),
            "www_authenticate_uri": self.auth_url,
            "http_request_max_retries": 10,
            "service_token_roles": "service",
            "service_token_roles_required": True,
        }

    def run(self, log: str, *command: str | Path, **environment: str) -> None:
        """Run one of the environment's programs, such as ``nova-manage``."""
        program, *arguments = command
        run(
            [web.BIN / program, *arguments],
            keeper=self.keeper,
            log=self.log(log),
            environment=self.environment(**environment),
            directory=self.directory,
        )
