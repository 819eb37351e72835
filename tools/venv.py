# SPDX-License-Identifier: Apache-2.0
"""Build the virtual environments that the Makefile uses under .venv/, if they are not up to date.

tools/venv.py nova-34     the project with the versions of constraints/nova-34.txt
tools/venv.py cloud-34    the same with all services of a control plane (constraints/cloud-34.txt)
tools/venv.py uv          only the installer, for `make constraints`
tools/venv.py link PATH   Nova's api-paste.ini for an environment built by tox
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / ".venv"
UV = VENVS / "uv"
UV_PIN = ROOT / "constraints" / "uv.txt"
OLDEST = (3, 11)
# The inputs of an environment; it is rebuilt after a change. setup.cfg is one of them because an
# editable installation copies its entry points into metadata.
INPUTS = ("requirements.txt", "setup.cfg", "setup.py", "tools/venv.py")


def give_up(reason: str) -> NoReturn:
    print(reason, file=sys.stderr)
    sys.exit(2)


def run(*command: str | Path, **env: str) -> None:
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **env})


def check_ensurepip() -> None:
    """Make sure that this Python can create virtual environments."""
    if importlib.util.find_spec("ensurepip"):
        return
    # Debian and Ubuntu have a separate package with ensurepip.
    package = "python{}.{}-venv".format(*sys.version_info)
    if os.geteuid() == 0 and shutil.which("apt-get"):
        with contextlib.suppress(subprocess.CalledProcessError):
            run("apt-get", "update", "-qq")
            run("apt-get", "install", "-qq", "-y", package, DEBIAN_FRONTEND="noninteractive")
        importlib.invalidate_caches()
    if not importlib.util.find_spec("ensurepip"):
        give_up(f"{sys.executable} cannot create virtual environments: install {package}.")


def key(*inputs: Path) -> str:
    """Return a hash of the inputs of an environment."""
    digest = hashlib.sha256(f"{sys.version} {sys.base_prefix} {ROOT}".encode())
    for path in inputs:
        digest.update(path.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def locked(what: str) -> Iterator[None]:
    """Wait until no other process builds the same; different environments build in parallel."""
    VENVS.mkdir(exist_ok=True)
    with (VENVS / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def rebuilding(venv: Path, inputs_key: str) -> Iterator[bool]:
    """Yield whether the environment must be built, and mark it as complete afterwards.

    The mark is removed first and written last, so an interrupted build has none and is repeated.
    """
    mark = venv / "complete"
    if mark.is_file() and mark.read_text() == inputs_key:
        yield False
        return
    if venv.exists():
        mark.unlink(missing_ok=True)
        shutil.rmtree(venv)
    with locked("ensurepip"):
        check_ensurepip()
    yield True
    mark.write_text(inputs_key)


def build_uv() -> Path:
    with locked("uv"), rebuilding(UV, key(UV_PIN)) as build:
        if build:
            run(sys.executable, "-m", "venv", UV)
            run(UV / "bin" / "pip", "install", "--quiet", "--requirement", UV_PIN)
    return UV / "bin" / "uv"


def build_project(name: str) -> None:
    venv = VENVS / name
    pins = ROOT / "constraints" / f"{name}.txt"
    if not pins.is_file():
        give_up(f"There is no environment {name}: {pins.relative_to(ROOT)} does not exist.")
    inputs_key = key(pins, *(ROOT / path for path in INPUTS))
    with locked(name), rebuilding(venv, inputs_key) as build:
        if not build:
            return
        print(f"Building .venv/{name} with Python {sys.version.split()[0]}.", flush=True)
        python = venv / "bin" / "python"
        try:
            uv = build_uv()
            run(uv, "venv", "--quiet", "--python", sys.executable, venv)
            install([uv, "pip", "install", "--quiet", "--python", python], pins)
        except subprocess.CalledProcessError:
            # pip is much slower than uv, but it reads the machine's pip configuration.
            print("uv failed; trying pip.", file=sys.stderr, flush=True)
            run(sys.executable, "-m", "venv", "--clear", venv)
            install([python, "-m", "pip", "install", "--quiet"], pins)
        link_paste_file(venv)


def install(installer: list[str | Path], pins: Path) -> None:
    # A long timeout for slow connections to the registry.
    run(*installer, "--requirement", pins, UV_HTTP_TIMEOUT="120")
    settings = {"SKIP_GENERATE_AUTHORS": "1", "SKIP_WRITE_GIT_CHANGELOG": "1"}
    try:
        subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, cwd=ROOT)
    except (OSError, subprocess.CalledProcessError):
        # Without a commit, as in an unpacked archive, pbr finds no version.
        settings["PBR_VERSION"] = "0.0.1"
    # No isolated build, which would download newer versions than the pinned setuptools and pbr.
    with locked("checkout"):
        # pbr writes into the checkout.
        run(*installer, "--no-deps", "--no-build-isolation", "--editable", ROOT, **settings)


def link_paste_file(venv: Path) -> None:
    """Link Nova's etc/nova beside the package, where Nova's functional tests expect it."""
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(venv)}))
    link = packages / "etc" / "nova"
    link.parent.mkdir(exist_ok=True)
    if not link.exists():
        link.symlink_to(venv / "etc" / "nova")


def main(arguments: list[str]) -> None:
    if sys.version_info < OLDEST:
        give_up(f"Python 3.11 or newer is needed: {sys.executable} is {sys.version.split()[0]}.")
    if arguments[:1] == ["link"] and len(arguments) == 2:
        link_paste_file(Path(arguments[1]).resolve())
    elif len(arguments) != 1:
        give_up("Name one environment: nova-31, nova-34, cloud-34 or uv.")
    elif arguments == ["uv"]:
        build_uv()
    else:
        build_project(arguments[0])


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except subprocess.CalledProcessError as error:
        give_up(f"Status {error.returncode} of: {' '.join(map(str, error.cmd))}")
    except KeyboardInterrupt:
        sys.exit(130)
