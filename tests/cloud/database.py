# SPDX-License-Identifier: Apache-2.0
"""MariaDB on loopback, as the invoking user."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cloud import ports
from tests.cloud.packages import Programs
from tests.cloud.processes import Keeper, Service, run

USER = "openstack"
PASSWORD = "secret"  # only on loopback, only while a test runs
DATABASES = ("keystone", "placement", "glance", "neutron", "nova_api", "nova", "nova_cell0")
_OPTIONS = (
    "--skip-name-resolve",
    "--skip-log-bin",
    "--character-set-server=utf8mb3",
    "--max-connections=600",
    # Avoid deadlocks by gap locks, after which Nova reports a new host's PCI devices only later.
    "--transaction-isolation=READ-COMMITTED",
    "--innodb-buffer-pool-size=192M",
    "--innodb-log-file-size=32M",
    # Commits survive the end of the process, but not of the machine.
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-doublewrite=0",
)


def create(programs: Programs, data: Path, *, log: Path, keeper: Keeper) -> None:
    """Create a data directory with the databases and their user."""
    environment = {**os.environ, **programs.environment}
    run(
        [
            programs.usr / "bin/mariadb-install-db",
            "--no-defaults",
            f"--basedir={programs.usr}",
            f"--datadir={data}",
            f"--user={_user()}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        ],
        keeper=keeper,
        log=log,
        environment=environment,
        directory=data.parent,
    )
    statements = [
        "FLUSH PRIVILEGES;",
        f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';",
        f"GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;",
        *(f"CREATE DATABASE {name} CHARACTER SET utf8mb3;" for name in DATABASES),
    ]
    run(
        [*_server(programs, data), "--bootstrap"],
        keeper=keeper,
        log=log,
        environment=environment,
        directory=data,
        stdin="\n".join(statements).encode(),
    )


def service(programs: Programs, data: Path, port: int, *, log: Path, keeper: Keeper) -> Service:
    """Return the database server of a data directory."""
    return Service(
        "mariadb",
        [
            *_server(programs, data),
            f"--bind-address={ports.ADDRESS}",
            f"--port={port}",
            f"--socket={data / 'socket'}",
            f"--pid-file={data / 'pid'}",
        ],
        keeper=keeper,
        log=log,
        environment={**os.environ, **programs.environment},
        directory=data,
        ready=lambda _: _answers(port),
        patience=30,
    )


def url(name: str, port: int) -> str:
    """Return the URL of a database for SQLAlchemy."""
    return f"mysql+pymysql://{USER}:{PASSWORD}@{ports.ADDRESS}:{port}/{name}?charset=utf8"


def options(name: str, port: int) -> dict[str, str | int]:
    """Return a service's options for its database, which retry the connection without end."""
    return {
        "connection": url(name, port),
        "max_retries": -1,
        "retry_interval": 1,
        "max_pool_size": 10,
        "max_overflow": 40,
    }


@contextmanager
def cursor(port: int, name: str | None = None) -> Iterator[Any]:
    """Return a cursor whose changes are committed."""
    # Only cloud-34 has it; in other environments the tests are skipped with a reason.
    import pymysql

    connection = pymysql.connect(
        host=ports.ADDRESS, port=port, user=USER, password=PASSWORD, database=name, autocommit=True
    )
    try:
        with connection.cursor() as found:
            yield found
    finally:
        connection.close()


def _server(programs: Programs, data: Path) -> list[str | Path]:
    return [
        programs.usr / "sbin/mariadbd",
        "--no-defaults",
        f"--basedir={programs.usr}",
        f"--datadir={data}",
        f"--lc-messages-dir={programs.usr / 'share/mysql'}",
        f"--plugin-dir={programs.usr / 'lib/mysql/plugin'}",
        f"--user={_user()}",
        *_OPTIONS,
    ]


def _user() -> str:
    return getpass.getuser()


def _answers(port: int) -> bool:
    import pymysql

    try:
        with cursor(port):
            return True
    except pymysql.MySQLError:
        return False
