# SPDX-License-Identifier: Apache-2.0
"""The smoke test of the DevStack plug-in, on an existing cloud."""

import shutil
import subprocess
import sys

import pytest
import yaml

from tests.checkout import ROOT
from tests.cloud import commands, image
from tests.cloud.site import REGION

_SMOKE = ROOT / "devstack" / "smoke.py"
_TIMEOUT = 300


@pytest.fixture(scope="module")
def fleet(plane, tmp_path_factory):
    """Apply a fleet file of all GPU hosts, whose flavors the tenant sees."""
    path = commands.write_fleet(plane, tmp_path_factory.mktemp("smoke"), "smoke")
    with commands.applied(plane, path):
        yield path


@pytest.fixture
def run(plane, fleet, tmp_path):
    """Run it with the configuration that the plug-in writes, with changes."""

    def done(*words, **changes):
        path = tmp_path / "smoke.yaml"
        settings = {
            "admin": "admin",
            "tenant": "tenant",
            "region": REGION,
            "image": image.NAME,
            "fleet": str(fleet),
            "domains": str(plane.directory / "hosts"),
            "hosts": [inventory.stem for inventory in plane.inventories],
        }
        path.write_text(yaml.safe_dump(settings | changes))
        return subprocess.run(
            [sys.executable, str(_SMOKE), str(path), *words],
            env=plane.environment(),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
        )

    return done


def test_each_kind_of_gpu_flavor_boots(plane, run):
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("smoke.")]
    booted = {line.partition(":")[0] for line in lines}
    assert booted == {"smoke.h100-sxm.1", "smoke.h100-sxm.8", "smoke.l40s.1", "smoke.l40s.4"}
    assert done.stderr.rstrip().endswith("OK")
    with plane.connection("tenant") as tenant:
        assert not list(tenant.compute.servers())
    with plane.connection("admin") as admin:
        # Errors of the test itself, which requests more GPUs than there are.
        names = [flavor.name for flavor in admin.compute.flavors(is_public=None)]
        assert not [name for name in names if name.startswith("smoke-")]


def test_a_server_without_a_domain_fails(plane, run, tmp_path):
    # Domains that existed before the server.
    shutil.copytree(
        plane.directory / "hosts",
        tmp_path / "hosts",
        ignore=lambda _, names: {name for name in names if name == "instances"},
    )
    done = run("--flavor", "smoke.l40s.1", domains=str(tmp_path / "hosts"))
    assert done.returncode == 1
    assert "FAILED" in done.stderr or "ERROR" in done.stderr
    with plane.connection("tenant") as tenant:
        assert not list(tenant.compute.servers())
