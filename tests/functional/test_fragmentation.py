# SPDX-License-Identifier: Apache-2.0
"""The policy ``fragmentation`` selects the same hosts in nova-scheduler and in the simulator."""

from __future__ import annotations

import dataclasses
import itertools
import random
import tempfile
from pathlib import Path

import pytest

from nova_gpu_passthrough.policies import mix
from nova_gpu_passthrough.policies.pack import Pack
from nova_gpu_passthrough.simulator.nova.nova import NovaRanker
from nova_gpu_passthrough.simulator.nova.nova_with_gpu_weigher import NovaFragmentationRanker
from nova_gpu_passthrough.simulator.ranker import Ranker
from nova_gpu_passthrough.simulator.rankers.policy import ranker_of
from tests.embedded.fleet import GPU, GpuHost, hgx_host, pcie_host
from tests.functional.base import GpuCloudTest
from tests.functional.replay import Flavor, replay

SERVERS = 100


def _without_audio(host: GpuHost) -> GpuHost:
    """Remove audio functions: Nova's PCIWeigher counts them, and the simulator has none."""
    return dataclasses.replace(host, gpus=tuple(gpu for gpu in host.gpus if gpu.role == GPU))


#: Memory in MiB; flavors use whole GiB, so that no two hosts ever have the same amount free.
HOSTS = (
    *(
        hgx_host(f"hgx{n}", model="H100-SXM", memory_mib_per_node=(200 - n) * 1024 + n)
        for n in range(1, 5)
    ),
    *(
        _without_audio(pcie_host(f"pcie{n}", memory_mib_per_node=(100 + n) * 1024 + n))
        for n in range(5, 8)
    ),
)
MODELS = {"h100-sxm": "H100-SXM", "l40s": "L40S"}
#: Flavors and how often they are requested.
FLAVORS = {
    Flavor("h100-1", 6, 40 * 1024, "h100-sxm", 1, numa_cells=1): 6,
    Flavor("h100-2", 12, 80 * 1024, "h100-sxm", 2, numa_cells=1): 2,
    Flavor("h100-4", 24, 128 * 1024, "h100-sxm", 4, numa_cells=1): 1,
    Flavor("l40s-1", 8, 32 * 1024, "l40s", 1): 5,
    Flavor("l40s-2", 20, 64 * 1024, "l40s", 2): 1,
    Flavor("cpu-2", 2, 4 * 1024): 12,
    Flavor("cpu-6", 6, 16 * 1024): 4,
}
MIX = {flavor.request_class(MODELS): count for flavor, count in FLAVORS.items()}


def sequence() -> list[Flavor]:
    """Return the flavors of the servers in the order of the requests."""
    rng = random.Random(2)
    flavors, weights = list(FLAVORS), list(FLAVORS.values())
    found: list[Flavor] = []
    while len(found) < SERVERS:
        # Several at once, as in a multi-create.
        found += rng.choices(flavors, weights) * rng.randint(1, 4)
    return found[:SERVERS]


@pytest.mark.slow
@pytest.mark.timeout(900)
class SameDecisions(GpuCloudTest):
    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "mix.yaml"
        path.write_text(mix.dump({one: count for one, count in MIX.items() if one.gpus}))
        # All of Nova's weighers with their default multipliers except two: the simulator requests
        # a server after the previous one is built, and the libvirt of these tests reports all of
        # the disk as free.
        self.start_cloud(
            HOSTS,
            config={
                (None, "initial_cpu_allocation_ratio"): 1.0,
                ("filter_scheduler", "io_ops_weight_multiplier"): 0.0,
                ("filter_scheduler", "disk_weight_multiplier"): 0.0,
                ("gpu_passthrough", "policy"): "fragmentation",
                ("gpu_passthrough", "mix_file"): str(path),
                ("gpu_passthrough", "mix_half_life"): 0,
                ("gpu_passthrough", "randomize_equal_choices"): False,
            },
        )

    def simulated(self, ranker: Ranker) -> list[str | None]:
        manager = self.cloud.nova.scheduler.manager.host_manager
        states = manager.get_host_states_by_uuids(self.cloud.nova.admin_context, None, None)
        return replay(ranker, states, MIX, [flavor.request_class(MODELS) for flavor in sequence()])

    def test_a_hundred_servers_get_the_hosts_that_the_simulator_chooses(self) -> None:
        expected = self.simulated(NovaFragmentationRanker())
        # The test proves nothing if other rankings select the same hosts.
        for other in (self.simulated(ranker_of(Pack())), self.simulated(NovaRanker())):
            self.assertGreater(sum(a != b for a, b in zip(expected, other, strict=True)), 40)
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
            # Nova refuses all servers of a request if one does not fit.
            hosts = expected[len(found) : len(found) + count]
            for batch in [count] if None not in hosts else [1] * count:
                status = "ERROR" if expected[len(found)] is None else "ACTIVE"
                servers = self.cloud.boot(flavor.name, count=batch, expect=status)
                found += [self.cloud.host_of(server) for server in servers]
                self.assertEqual(expected[: len(found)], found, flavor)
        self.assertEqual(SERVERS, len(found))
