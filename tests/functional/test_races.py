# SPDX-License-Identifier: Apache-2.0
"""Two schedulers that choose the same devices at the same time."""

from __future__ import annotations

from typing import Any
from unittest import mock

from nova.scheduler import utils

from tests.embedded.fleet import hgx_host
from tests.functional.base import GpuCloudTest


class Races(GpuCloudTest):
    hosts = (hgx_host("hgx1"), hgx_host("hgx2"))
    #: Both schedulers choose the devices with the lowest addresses.
    options = {"config": {("gpu_passthrough", "randomize_equal_choices"): False}}

    def test_the_loser_of_a_race_gets_another_host(self) -> None:
        flavor = self.cloud.create_flavor("h100-4", vcpus=2, ram_mib=1024, gpus={"h100": 4})
        claim = utils.claim_resources
        claims: list[dict[str, Any]] = []
        winners: list[dict[str, Any]] = []

        def claim_late(*args: Any, **kwargs: Any) -> bool:
            """Let another scheduler place a server between the first one's choice and claim."""
            claims.append(args[4])
            if len(claims) == 1:
                winners.extend(self.cloud.boot(flavor))
            return claim(*args, **kwargs)

        with mock.patch.object(utils, "claim_resources", claim_late):
            (loser,) = self.cloud.boot(flavor)
        (winner,) = winners
        # The first two claims were for the same devices, the third one for others.
        self.assertEqual(3, len(claims))
        self.assertEqual(claims[0]["allocations"], claims[1]["allocations"])
        self.assertNotEqual(claims[1]["allocations"].keys(), claims[2]["allocations"].keys())
        self.assertNotEqual(self.cloud.host_of(winner), self.cloud.host_of(loser))
        for server in (winner, loser):
            self.assertEqual("ACTIVE", server["status"])
            self.assertEqual(4, len(self.cloud.devices_of(server)))
