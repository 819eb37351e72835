# SPDX-License-Identifier: Apache-2.0
"""The policy ``fragmentation`` decides in nova-scheduler as it does without Nova."""

from __future__ import annotations

import itertools
import random

import pytest

from nova_gpu_passthrough.policies.fragmentation import Fragmentation
from nova_gpu_passthrough.policies.mix import Mix
from tests.embedded.cloud import GPU_WEIGHER
from tests.embedded.fleet import hgx_host, pcie_host
from tests.functional.base import GpuCloudTest
from tests.functional.replay import Flavor, Replay

SERVERS = 100
#: Memory in MiB; flavors come in GiB, so that no two hosts ever have as much left.
HOSTS = (
    *(hgx_host(f"hgx{n}", memory_mib_per_node=(200 - n) * 1024 + n) for n in range(1, 5)),
    *(pcie_host(f"pcie{n}", memory_mib_per_node=(100 + n) * 1024 + n) for n in range(5, 8)),
)
KINDS = {"h100": ("10de", "2330"), "l40s": ("10de", "26b9")}
#: Flavors, and how often they are asked for.
FLAVORS = {
    Flavor("h100-1", 6, 40 * 1024, "h100", 1, numa_cells=1): 6,
    Flavor("h100-2", 12, 80 * 1024, "h100", 2, numa_cells=1): 2,
    Flavor("h100-4", 24, 128 * 1024, "h100", 4, numa_cells=1): 1,
    Flavor("l40s-1", 8, 32 * 1024, "l40s", 1): 5,
    Flavor("l40s-2", 20, 64 * 1024, "l40s", 2): 1,
    Flavor("cpu-2", 2, 4 * 1024): 12,
    Flavor("cpu-6", 6, 16 * 1024): 4,
}


def sequence() -> list[Flavor]:
    """The flavors of the servers, in the order in which these are asked for."""
    rng = random.Random(2)
    flavors, often = list(FLAVORS), list(FLAVORS.values())
    found: list[Flavor] = []
    while len(found) < SERVERS:
        # Several at once, as one request would ask for them.
        found += rng.choices(flavors, often) * rng.randint(1, 4)
    return found[:SERVERS]


@pytest.mark.slow
@pytest.mark.timeout(900)
class SameDecisions(GpuCloudTest):
    hosts = HOSTS
    options = {
        "weight_classes": [GPU_WEIGHER, "nova.scheduler.weights.ram.RAMWeigher"],
        "config": {
            (None, "initial_cpu_allocation_ratio"): 1.0,
            ("gpu_passthrough", "policy"): "fragmentation",
            ("gpu_passthrough", "mix_half_life"): 50,
            ("gpu_passthrough", "randomize_equal_choices"): False,
        },
    }

    def replay(self, policy: Fragmentation) -> list[str | None]:
        manager = self.cloud.nova.scheduler.manager.host_manager
        states = manager.get_host_states_by_uuids(self.cloud.nova.admin_context, None, None)
        replay = Replay(policy, self.cloud.hosts, {s.host: s for s in states}, KINDS)
        return [replay.boot(flavor) for flavor in sequence()]

    def test_a_hundred_servers_get_the_hosts_that_the_policy_alone_chooses(self) -> None:
        expected = self.replay(Fragmentation(Mix(half_life=50)))
        # Without a mix the policy packs: it would be no proof, if that led to the same hosts.
        packed = self.replay(Fragmentation(Mix()))
        self.assertGreater(sum(a != b for a, b in zip(expected, packed, strict=True)), 40)
        for flavor in FLAVORS:
            self.cloud.create_flavor(
                flavor.name,
                flavor.vcpus,
                flavor.ram_mib,
                {flavor.alias: flavor.gpus} if flavor.gpus else None,
                flavor.extra_specs,
            )
        found: list[str | None] = []
        for flavor, run in itertools.groupby(sequence()):
            count = len(list(run))
            # All of one request are refused if one of them is.
            hosts = expected[len(found) : len(found) + count]
            for part in [count] if None not in hosts else [1] * count:
                status = "ERROR" if expected[len(found)] is None else "ACTIVE"
                servers = self.cloud.boot(flavor.name, count=part, expect=status)
                found += [self.cloud.host_of(server) for server in servers]
                self.assertEqual(expected[: len(found)], found, flavor)
        self.assertEqual(SERVERS, len(found))
