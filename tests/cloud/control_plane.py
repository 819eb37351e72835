# SPDX-License-Identifier: Apache-2.0
"""The whole control plane."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import openstack
import openstack.config

from nova_gpu_passthrough.inventory.model import Inventory
from tests.cloud import (
    broker,
    catalogue,
    compute,
    database,
    fleet,
    identity,
    image,
    network,
    packages,
    placement,
    ports,
    state,
    web,
)
from tests.cloud.processes import CloudError, Keeper, Service
from tests.cloud.site import PORTS, Site

#: Seconds for all services to start; each needs several on an idle processor.
_SERVICES_TIMEOUT = 180
#: Seconds until a new host is in a cell, and its devices are in Placement.
_HOSTS_TIMEOUT = 90
_INVENTORIES = "inventories"
#: The steps of a start, and what they usually take on two processors.
_STEPS = {
    "packages": "unpack MariaDB and RabbitMQ from Debian (the first time 1 min, then 0 s)",
    "tables": "create the tables, cells and users (the first time 1 min, then 1 s)",
    "databases": "start MariaDB and RabbitMQ (10 s)",
    "services": "start Keystone, Placement, Glance, Neutron and Nova (25 s)",
    "image": "create an image (5 s)",
    "hosts": "wait for the GPUs of the hosts in Placement (10 s)",
}
_PORTS_FILE = "ports.json"


class ControlPlane:
    """A control plane that runs for the duration of a ``with`` block.

    :param directory: its directory; a new one below /tmp by default. It is removed at the
        end, even if this process is killed.
    :param report: receives a line at the beginning and the end of each step of the start
    """

    def __init__(
        self, directory: Path | None = None, report: Callable[[str], None] = lambda line: None
    ) -> None:
        self._wanted = directory
        self._report = report
        self._site: Site | None = None
        self.services: dict[str, Service] = {}
        #: Inventory files of the compute hosts.
        self.inventories: tuple[Path, ...] = ()
        self.hosts: tuple[str, ...] = ()
        #: Duration of each phase of the start, in seconds.
        self.timings: dict[str, float] = {}

    @classmethod
    def attached(cls, directory: Path) -> Self:
        """Return a control plane of another process: it has no `services` and is never stopped."""
        plane = cls()
        numbers = json.loads((directory / _PORTS_FILE).read_text())
        plane._site = Site(directory, packages.programs(), numbers, keeper=None)
        plane.inventories = tuple(sorted((directory / _INVENTORIES).glob("*.yaml")))
        plane.hosts = tuple(path.stem for path in plane.inventories)
        return plane

    @property
    def site(self) -> Site:
        if self._site is None:
            raise CloudError("The control plane is not running.")
        return self._site

    @property
    def directory(self) -> Path:
        return self.site.directory

    @property
    def config(self) -> Path:
        """The configuration directory, with one directory for each host, and ``control``."""
        return self.site.config

    @property
    def clouds_yaml(self) -> Path:
        return self.directory / "clouds.yaml"

    def environment(self, cloud: str = "admin") -> dict[str, str]:
        """Return the environment for a program that uses one of the clouds of clouds.yaml."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        return {
            **kept,
            "PATH": f"{web.BIN}:{os.environ.get('PATH', os.defpath)}",
            "OS_CLIENT_CONFIG_FILE": str(self.clouds_yaml),
            "OS_CLOUD": cloud,
        }

    def connection(self, cloud: str = "admin") -> openstack.connection.Connection:
        """Return a new connection to one of the clouds of clouds.yaml."""
        loader = openstack.config.OpenStackConfig(
            config_files=[str(self.clouds_yaml)], load_envvars=False
        )
        return openstack.connection.Connection(config=loader.get_one(cloud=cloud))

    def restart(self, name: str) -> None:
        """Stop a service, start it and wait for it."""
        self.services[name].restart()

    def database(self, name: str) -> Any:
        """Return a cursor (a context manager) of one of the services' databases."""
        return database.cursor(self.site.ports["mariadb"], name)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start all services and wait until servers can boot.

        :raises tests.debian.Unavailable: if this machine cannot run it
        :raises CloudError: if a service does not start
        """
        with self._timed("packages"):
            programs = packages.programs()
        self._site = _new_site(programs, self._wanted)
        try:
            self._start(self._site)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill all processes and remove the directory."""
        site, self._site = self._site, None
        if site is None or site.keeper is None:
            return
        # No state is needed any more, so no process gets time for a clean shutdown.
        for service in reversed(self.services.values()):
            service.kill()
        self.services.clear()
        site.keeper.close()

    def _start(self, site: Site) -> None:
        mapper, rabbitmq = broker.services(
            site.programs,
            site.directory / "rabbitmq",
            dict(site.ports),
            logs=site.logs,
            keeper=site.keeper,
        )
        with self._timed("tables"):
            self._add(mapper, rabbitmq)
            mapper.start()
            rabbitmq.start()
            state.restore(site, lambda: _new_site(site.programs))
        with self._timed("databases"):
            inventories = self._write(site)
            mariadb = state.mariadb(site)
            self._add(mariadb)
            mariadb.start()
            mariadb.wait_ready()
            catalogue.move(site)
            rabbitmq.wait_ready()
        paths = dict(zip(self.hosts, self.inventories, strict=True))
        nova = compute.services(site, paths)
        apis = [part.service(site) for part in (identity, placement, image, network)]
        with self._timed("services"):
            self._add(*apis, *nova)
            for service in (*apis, *nova):
                service.start()
            for service in (*apis, *nova):
                service.wait_ready(_SERVICES_TIMEOUT)
        with self._timed("image"):
            self._make_image()
        with self._timed("hosts"):
            self._wait_for_hosts(inventories)

    def _write(self, site: Site) -> tuple[Inventory, ...]:
        inventories = fleet.hosts()
        self.hosts = tuple(inventory.host for inventory in inventories)
        self.inventories = fleet.write_inventories(inventories, site.directory / _INVENTORIES)
        fleet.write_configuration(inventories, site.config)
        state.configure(site, self.hosts)
        catalogue.write_clouds(site)
        (site.directory / _PORTS_FILE).write_text(json.dumps(dict(site.ports)))
        return inventories

    def _make_image(self) -> None:
        with self.connection() as cloud:
            cloud.image.create_image(
                name=image.NAME,
                disk_format="raw",
                container_format="bare",
                visibility="public",
                data=b"not an operating system",
            )
            # Neutron creates its mappers at the first request.
            list(cloud.network.networks())

    def _wait_for_hosts(self, inventories: Sequence[Inventory]) -> None:
        def in_cells() -> bool:
            with self.database("nova_api") as cursor:
                cursor.execute("SELECT COUNT(*) FROM host_mappings")
                return cursor.fetchone()[0] == len(self.hosts)

        def in_placement() -> bool:
            with self.database("placement") as cursor:
                cursor.execute("SELECT COUNT(DISTINCT resource_provider_id) FROM inventories")
                return cursor.fetchone()[0] == providers

        providers = sum(1 + _offered(inventory) for inventory in inventories)
        _wait(in_cells, _HOSTS_TIMEOUT, "nova-scheduler found the compute hosts")
        _wait(in_placement, _HOSTS_TIMEOUT, f"Placement had {providers} resource providers")

    def _add(self, *services: Service) -> None:
        self.services.update((service.name, service) for service in services)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        started = time.monotonic()
        self._report(f"{len(self.timings) + 1}/{len(_STEPS)} {_STEPS[part]}")
        yield
        self.timings[part] = time.monotonic() - started
        self._report(f"    done in {self.timings[part]:.0f} s")


def _new_site(programs: packages.Programs, directory: Path | None = None) -> Site:
    if directory is None:
        # Use a short path: paths of sockets have at most 107 characters.
        directory = Path(tempfile.mkdtemp(prefix="nova-gpu-"))
    else:
        directory = directory.resolve()
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise CloudError(f"{directory} is not empty, and would be removed at the end.")
    return Site(directory, programs, ports.free(PORTS), Keeper(directory))


def _offered(inventory: Inventory) -> int:
    """Return the number of PCI functions that servers can get: GPUs and their companions."""
    return sum(1 + len(gpu.companions) for gpu in inventory.gpus)


def _wait(condition: Callable[[], bool], timeout: float, what: str) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise CloudError(f"It took more than {timeout} s until {what}.")
        time.sleep(0.3)
