# SPDX-License-Identifier: Apache-2.0
"""Wheel and source distribution contain all files of the checkout."""

import configparser
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import PurePosixPath

import pytest

from tests import checkout
from tests.checkout import ROOT

PACKAGE = "nova_gpu_passthrough"
SHARED = f"{PACKAGE}-1.2.3.data/data/share/nova-gpu-passthrough/"
#: Calls pbr's build hooks as pip does.
HOOK = "import sys; from pbr import build; getattr(build, sys.argv[1])(sys.argv[2])"


@pytest.fixture(scope="module")
def files():
    """The files of the project, including untracked ones, relative to the checkout."""
    names = checkout.files()
    if not names:
        pytest.skip("not a checkout of git")
    return names


@pytest.fixture(scope="module")
def built(files, tmp_path_factory):
    """A folder with both distributions."""
    copy = tmp_path_factory.mktemp("copy")
    checkout.copy(copy)
    folder = tmp_path_factory.mktemp("dist")
    for hook in ("build_wheel", "build_sdist"):
        done = subprocess.run(
            [sys.executable, "-c", HOOK, hook, str(folder)],
            cwd=copy,
            env={**os.environ, "PBR_VERSION": "1.2.3"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    """The wheel, opened."""
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_the_wheel_has_every_file_of_the_package(wheel, files):
    expected = {name for name in files if name.startswith(f"{PACKAGE}/")}
    assert expected
    assert {name for name in wheel.namelist() if name.startswith(f"{PACKAGE}/")} == expected
    for name in expected:
        assert wheel.read(name) == (ROOT / name).read_bytes()


def test_the_wheel_has_samples_and_examples(wheel, files):
    expected = {name.removeprefix("etc/") for name in files if name.startswith("etc/")}
    assert "nova_gpu_passthrough.conf.sample" in expected
    assert {
        name.removeprefix(SHARED) for name in wheel.namelist() if name.startswith(SHARED)
    } == expected


def test_the_wheel_installs_nothing_else(wheel):
    tops = {PurePosixPath(name).parts[0] for name in wheel.namelist()}
    assert tops == {PACKAGE, f"{PACKAGE}-1.2.3.data", f"{PACKAGE}-1.2.3.dist-info"}


def _entry_points():
    """Yield group, name and object of each entry point in setup.cfg."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    for group, lines in setup["entry_points"].items():
        for line in lines.strip().splitlines():
            name, _, value = line.partition("=")
            yield group, name.strip(), value.strip()


def test_the_wheel_has_the_entry_points_of_setup_cfg(wheel):
    text = wheel.read(f"{PACKAGE}-1.2.3.dist-info/entry_points.txt").decode()
    built = configparser.ConfigParser(delimiters=("=",))
    built.read_string(text)
    found = {(group, *pair) for group in built.sections() for pair in built[group].items()}
    assert found == set(_entry_points())
    assert ("console_scripts", "nova-gpu", "nova_gpu_passthrough.cli.start:main") in found


def test_the_source_distribution_has_every_file_of_the_checkout(built, files):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as opened:
        found = {name.partition("/")[2] for name in opened.getnames()}
    # Only git uses these files.
    assert not set(files) - found - {".gitignore", ".gitreview"}
