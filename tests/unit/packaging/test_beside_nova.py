# SPDX-License-Identifier: Apache-2.0
"""An installation of the package beside Nova changes no version of Nova's packages."""

import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.checkout import ROOT
from tests.unit.packaging import beside_nova
from tests.unit.packaging.beside_nova import FROZEN

REQUIREMENTS = ROOT / "requirements.txt"
#: Packages that an installation beside Nova 31 adds.
ADDED = ("cattrs", "rich", "markdown_it", "mdurl", "pygments")
IN_NOVA = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
from importlib import metadata
for group in ("nova_gpu_passthrough.policies", "nova.api.extra_spec_validators"):
    for point in metadata.entry_points(group=group):
        point.load()
import nova_gpu_passthrough.extra_specs
import nova_gpu_passthrough.scheduler.filters
import nova_gpu_passthrough.scheduler.weights
from nova_gpu_passthrough.policies import mix
from pathlib import Path
print(mix.load(Path(sys.argv[1])))
"""
MIX = """\
schema: nova-gpu-passthrough/mix
version: 1
classes: []
"""
EVERY_NOVA = pytest.mark.parametrize("frozen", FROZEN, ids=lambda path: path.stem)


def _requirements():
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return [Requirement(text) for line in lines if (text := line.partition("#")[0].strip())]


def test_all_supported_releases_are_checked():
    assert [path.stem for path in FROZEN] == ["nova-31", "nova-32", "nova-33", "nova-34"]
    for frozen in FROZEN:
        major = beside_nova.versions(frozen)["nova"].split(".")[0]
        assert frozen.stem == f"nova-{major}"


@EVERY_NOVA
def test_the_versions_of_nova_satisfy_the_requirements(frozen):
    versions = beside_nova.versions(frozen)
    shared = [r for r in _requirements() if canonicalize_name(r.name) in versions]
    assert len(shared) > 10
    refused = [
        f"{requirement} (Nova has {versions[canonicalize_name(requirement.name)]})"
        for requirement in shared
        if not requirement.specifier.contains(versions[canonicalize_name(requirement.name)])
    ]
    assert not refused


@pytest.mark.skipif(not beside_nova.installer(), reason="uv is not here: make builds it")
@EVERY_NOVA
def test_an_installer_adds_packages_and_replaces_none(tmp_path, frozen):
    python = beside_nova.build(tmp_path / "venv", frozen)
    try:
        added, removed = beside_nova.try_to_install(python, REQUIREMENTS)
    except OSError as error:
        pytest.skip(f"the package registry cannot be reached: {error}")
    assert "cattrs" in added
    assert not removed
    assert not added.keys() & beside_nova.versions(frozen).keys()


@pytest.mark.skipif(not beside_nova.installer(), reason="uv is not here: make builds it")
def test_a_replaced_package_is_detected(tmp_path):
    frozen, requirements = tmp_path / "frozen.txt", tmp_path / "requirements.txt"
    frozen.write_text("attrs==25.1.0\n")
    requirements.write_text("attrs>=25.4.0\n")
    python = beside_nova.build(tmp_path / "venv", frozen)
    try:
        added, removed = beside_nova.try_to_install(python, requirements)
    except OSError as error:
        pytest.skip(f"the package registry cannot be reached: {error}")
    assert removed == {"attrs": "25.1.0"}
    assert added.keys() == {"attrs"}


def test_nova_services_need_none_of_the_added_packages(tmp_path):
    path = tmp_path / "mix.yaml"
    path.write_text(MIX)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IN_NOVA.format(blocked=ADDED), str(path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
