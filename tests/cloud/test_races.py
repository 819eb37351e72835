# SPDX-License-Identifier: Apache-2.0
"""More concurrent boots than GPUs."""

import contextlib

from tests.cloud import holdings, servers
from tests.cloud.commands import applied, write_fleet

_SERVERS = 40
_GPUS = 16


def test_40_parallel_boots_for_16_gpus(plane, tmp_path):
    fleet = write_fleet(plane, tmp_path, "races")
    with contextlib.ExitStack() as stack:
        stack.enter_context(applied(plane, fleet))
        tenant = stack.enter_context(plane.connection("tenant"))
        booted = stack.enter_context(servers.many(plane, "races.h100-sxm.1", _SERVERS))
        assert len(booted) == _SERVERS
        found = [tenant.compute.get_server(one) for one in booted]
        active = {server.id for server in found if server.status == "ACTIVE"}
        assert {server.status for server in found} == {"ACTIVE", "ERROR"}
        assert len(active) == _GPUS
        holdings.check(plane, active)
    holdings.check(plane, set())
