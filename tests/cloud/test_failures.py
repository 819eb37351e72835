# SPDX-License-Identifier: Apache-2.0
"""Services die during boots: no allocation is lost or leaked."""

import time

import pytest

from tests.cloud import holdings, servers
from tests.cloud.commands import applied, write_fleet

_SERVICES = ("nova-scheduler", "rabbitmq", "placement", "mariadb")
_BOOTS = 8


@pytest.fixture(scope="module")
def flavors(plane, tmp_path_factory):
    fleet = write_fleet(plane, tmp_path_factory.mktemp("fleet"), "failures")
    with applied(plane, fleet):
        yield


@pytest.mark.parametrize("name", _SERVICES)
def test_boots_go_on_or_fail_when_a_service_is_killed(plane, flavors, name):
    if not plane.services:
        pytest.skip("services of a cloud of another process are not killed")

    def kill():
        time.sleep(1)
        service = plane.services[name]
        service.kill()
        service.start()
        service.wait_ready()

    with servers.many(plane, "failures.h100-sxm.2", _BOOTS, kill) as booted:
        with plane.connection("tenant") as tenant:
            found = [tenant.compute.get_server(one) for one in booted]
        assert {server.status for server in found} <= {"ACTIVE", "ERROR"}
        # Failed servers have no devices, and the others exactly those that they requested.
        active = {server.id for server in found if server.status == "ACTIVE"}
        holdings.check(plane, active)
        assert len(holdings.nova(plane)) == 2 * len(active)
    # All GPUs are free again.
    holdings.check(plane, set())
