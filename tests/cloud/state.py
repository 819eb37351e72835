# SPDX-License-Identifier: Apache-2.0
"""The databases of a new control plane: tables, cells, users, catalogue.

Creating them takes most of a minute, so they are kept under .cache/cloud/ and copied.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import cache
from tests.cloud import catalogue, compute, database, identity, image, network, placement
from tests.cloud.packages import CACHE
from tests.cloud.processes import Service
from tests.cloud.site import Site

#: The files that determine the databases, besides the packages' versions.
_SOURCES = ("catalogue", "compute", "database", "identity", "image", "network", "placement")
DATA, KEYS, ENDPOINT = "mysql", "keys", "compute-endpoint"


def restore(site: Site, build_site: Callable[[], Site]) -> None:
    """Put databases and Keystone's keys into the site's directory.

    :param build_site: makes another site, in which they are built if there are none yet
    """
    here = Path(__file__).parent
    inputs: list[str | Path] = [here / f"{name}.py" for name in (*_SOURCES, "state", "site")]
    inputs += [cache.ROOT / "constraints/cloud-34.txt", str(site.programs.root)]
    kept = cache.built(CACHE, "state", cache.key(inputs), lambda folder: _build(build_site, folder))
    for name in (DATA, KEYS):
        shutil.copytree(kept / name, site.directory / name)
    shutil.copy(kept / ENDPOINT, site.directory)


def _build(build_site: Callable[[], Site], folder: Path) -> None:
    site = build_site()
    try:
        data, keys = site.directory / DATA, site.directory / KEYS
        log = site.log("mariadb-create")
        database.create(site.programs, data, log=log, keeper=site.keeper)
        identity.make_keys(keys)
        configure(site, hosts=())
        server = mariadb(site)
        server.start()
        server.wait_ready()
        parts = (identity, placement, image, network, compute)
        with ThreadPoolExecutor(len(parts)) as pool:
            try:
                list(pool.map(lambda part: part.create(site), parts))
            except BaseException:
                # The pool waits for all tasks; this ends them.
                site.keeper.close()
                raise
        keystone = identity.service(site)
        keystone.start()
        keystone.wait_ready()
        (folder / ENDPOINT).write_text(catalogue.create(site))
        keystone.stop()
        # A clean shutdown writes everything to the files.
        server.stop()
        for name in (DATA, KEYS):
            shutil.copytree(site.directory / name, folder / name)
    finally:
        site.keeper.close()


def configure(site: Site, hosts: tuple[str, ...]) -> None:
    """Write the configuration files of all services; Nova's are not complete before `restore`."""
    endpoint = site.directory / ENDPOINT
    identity.configure(site, site.directory / KEYS)
    placement.configure(site)
    image.configure(site)
    network.configure(site)
    compute.configure(site, hosts, endpoint.read_text() if endpoint.exists() else "")


def mariadb(site: Site) -> Service:
    """Return the server of the site's databases."""
    return database.service(
        site.programs,
        site.directory / DATA,
        site.ports["mariadb"],
        log=site.log("mariadb"),
        keeper=site.keeper,
    )
