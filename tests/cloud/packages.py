# SPDX-License-Identifier: Apache-2.0
"""MariaDB and RabbitMQ from Debian's packages, unpacked under .cache/cloud/ and not installed."""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests import cache, debian
from tests.debian import Unavailable

CACHE = cache.ROOT / ".cache" / "cloud"
PACKAGES = ("mariadb-server-core", "mariadb-client-core", "rabbitmq-server", "erlang-base")
#: Where Debian's Erlang scripts expect Erlang.
_ERLANG = "/usr/lib/erlang"
#: A module that only the environment cloud-34 has.
_PYTHON_PACKAGES = ("nova", "placement", "keystone", "glance", "neutron", "pymysql")


@dataclass(frozen=True)
class Programs:
    """The unpacked packages."""

    root: Path

    @property
    def usr(self) -> Path:
        return self.root / "usr"

    @property
    def erlang(self) -> Path:
        return self.usr / "lib" / "erlang"

    @property
    def erlang_runtime(self) -> Path:
        """The directory ``bin`` of Erlang's runtime system."""
        (found,) = self.erlang.glob("erts-*/bin")
        return found

    @property
    def rabbitmq(self) -> Path:
        """RabbitMQ's directory."""
        (found,) = (self.usr / "lib/rabbitmq/lib").glob("rabbitmq_server-*")
        return found

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment with which programs find the unpacked libraries."""
        (libraries,) = {path.parent for path in self.usr.glob("lib/*/libmariadb.so.3")}
        return {"LD_LIBRARY_PATH": str(libraries)}


def reason() -> str:
    """Return why this machine or environment cannot run the control plane, or an empty string."""
    if platform.system() != "Linux":
        return "The control plane needs Linux."
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return f"The control plane takes {', '.join(PACKAGES)} from Debian: apt-get is missing."
    missing = [name for name in _PYTHON_PACKAGES if importlib.util.find_spec(name) is None]
    if not (Path(sys.prefix) / "bin" / "uwsgi").exists():
        missing.append("uwsgi")
    if missing:
        return (
            f"The control plane runs in .venv/cloud-34 (make test-cloud): {sys.prefix} lacks "
            f"{', '.join(missing)}."
        )
    return ""


@functools.cache
def programs() -> Programs:
    """Return the programs, unpacked once.

    :raises Unavailable: if the machine is unsuitable, or the packages are unavailable
    """
    if why := reason():
        raise Unavailable(why)
    key = cache.key([*PACKAGES, debian.codename(), platform.machine(), Path(debian.__file__)])
    return Programs(cache.built(CACHE, "packages", key, _unpack))


def _unpack(folder: Path) -> None:
    debian.unpack(PACKAGES, folder)
    for script in ("erl", "start"):
        path = folder / "usr/lib/erlang/bin" / script
        text = path.read_text()
        path.write_text(text.replace(_ERLANG, str(folder / "usr/lib/erlang")))
    mariadbd = folder / "usr/sbin/mariadbd"
    environment = {**os.environ, **Programs(folder).environment}
    done = subprocess.run([mariadbd, "--version"], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"Debian's mariadbd does not run on this machine: {done.stderr.strip()}")
