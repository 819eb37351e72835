# SPDX-License-Identifier: Apache-2.0
"""Services that die in the middle of boots and of ``apply``: nothing is lost, nothing leaks."""

import subprocess
import time

import pytest

from tests.cloud import holdings, servers
from tests.cloud.commands import applied, nova_gpu, write_fleet

_SERVICES = ("nova-scheduler", "rabbitmq", "placement", "mariadb")
_BOOTS = 8


@pytest.fixture(scope="module")
def flavors(plane, tmp_path_factory):
    fleet = write_fleet(plane, tmp_path_factory.mktemp("fleet"), "failures")
    with applied(plane, fleet):
        yield


def _die(plane, name):
    service = plane.services[name]
    service.kill()
    service.start()
    service.wait_ready()


@pytest.mark.parametrize("name", _SERVICES)
def test_boots_go_on_or_fail_when_a_service_is_killed(plane, flavors, name):
    def kill():
        time.sleep(1)
        _die(plane, name)

    with servers.many(plane, "failures.h100-sxm.2", _BOOTS, kill) as booted:
        with plane.connection("tenant") as tenant:
            found = [tenant.compute.get_server(one) for one in booted]
        assert {server.status for server in found} <= {"ACTIVE", "ERROR"}
        # The failed ones hold nothing, and the others just what they asked for.
        active = {server.id for server in found if server.status == "ACTIVE"}
        holdings.check(plane, active)
        assert len(holdings.nova(plane)) == 2 * len(active)
    # The GPUs of all of them are free again.
    holdings.check(plane, set())
    with servers.many(plane, "failures.h100-sxm.8", 2) as booted:
        holdings.check(plane, set(booted))


@pytest.mark.parametrize("name", ("placement", "mariadb", "keystone", "nova-api"))
def test_apply_goes_on_after_a_service_was_killed(plane, tmp_path, name):
    fleet = write_fleet(plane, tmp_path, f"killed-{name}")
    running = subprocess.Popen(
        ["nova-gpu", "apply", "--fleet", fleet],
        env=plane.environment("admin"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # When the first change has been made.
    record = fleet.with_suffix(".applied.yaml")
    while running.poll() is None and not record.exists():
        time.sleep(0.02)
    _die(plane, name)
    _, told = running.communicate(timeout=180)
    assert running.returncode in (0, 2)
    if running.returncode == 2:
        assert "run it again to go on" in told.splitlines()[-1]
    with applied(plane, fleet):
        again = nova_gpu(plane, "apply", "--fleet", fleet, "--dry-run")
        assert again.returncode == 0
        assert not again.stdout
