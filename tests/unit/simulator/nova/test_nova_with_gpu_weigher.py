# SPDX-License-Identifier: Apache-2.0
"""The ranker nova+fragmentation against filter, weighers and claim of a scheduler with ours."""

import random

import pytest
from nova.scheduler import filters, weights
from nova.scheduler.filters.numa_topology_filter import NUMATopologyFilter

from nova_gpu_passthrough.packing.request_class import Reach, RequestClass
from nova_gpu_passthrough.policies import mix
from nova_gpu_passthrough.scheduler.filters import GpuPassthroughFilter
from nova_gpu_passthrough.scheduler.weights import GpuPassthroughWeigher
from nova_gpu_passthrough.simulator.hosts import Hosts
from nova_gpu_passthrough.simulator.nova.nova_with_gpu_weigher import NovaAndFragmentation
from tests.unit import builders
from tests.unit.scheduler import nova_hosts
from tests.unit.simulator.nova import twins

FLEET = [
    # Linked in pairs, all linked across NUMA nodes, linked crosswise, not linked.
    *((f"pairs{n}", {"link": lambda gpu: f"bridge{gpu // 2}", "cpus": 30 + n}) for n in range(2)),
    ("board", {"link": lambda gpu: "board", "ram": 98304}),
    ("crosswise", {"link": lambda gpu: f"bridge{gpu % 4}", "cpus": 40}),
    *((f"plain{n}", {"ram": 120000 + 1024 * n}) for n in range(2)),
    ("few", {"gpus": 3, "cpus": 48}),
    ("none", {"gpus": 0, "cpus": 8}),
]
PINNED = RequestClass("one cell", 2, twins.MODEL, 8, 0, 16384, 1, numa_cells=1, reach=Reach.NEAR)
WIDE = RequestClass("two cells", 4, twins.MODEL, 16, 0, 32768, 1, numa_cells=2, reach=Reach.NEAR)
FLOATING = twins.CLASSES
WITH_CELLS = [*twins.CLASSES[:3], PINNED, WIDE]


class Scheduler:
    """What of nova-scheduler decides, with Placement's part played by the tests."""

    def __init__(self):
        self.filters = [GpuPassthroughFilter(), NUMATopologyFilter()]
        self.weighers = [*(cls() for cls in weights.all_weighers()), GpuPassthroughWeigher()]
        self.reals = {name: twins.real_host(name, **kind) for name, kind in FLEET}

    def weigh(self, spec):
        passed = filters.HostFilterHandler().get_filtered_objects(
            self.filters, self._candidates(spec), spec
        )
        found = weights.HostWeightHandler().get_weighed_objects(self.weighers, passed, spec)
        return {item.obj.host: item.weight for item in found}

    def _candidates(self, spec):
        """Placement's answer."""
        found = []
        wanted = sum(request.count for request in spec.pci_requests.requests)
        for real in self.reals.values():
            if (
                spec.vcpus <= real.vcpus_total - real.vcpus_used
                and spec.memory_mb <= real.free_ram_mb
                and spec.root_gb * 1024 <= real.free_disk_mb
                and wanted <= sum(pool["count"] for pool in real.pci_stats.pools)
            ):
                real.allocation_candidates = builders.candidates(real, spec)
                found.append(real)
        return found

    def boot(self, name, spec):
        nova_hosts.claim(self.reals[name], spec)
        twins.built(self.reals[name])


@pytest.fixture
def scheduler(options, tmp_path):
    def make(classes):
        path = tmp_path / "mix.yaml"
        path.write_text(mix.dump(counts(classes)))
        options(policy="fragmentation", mix_file=str(path), mix_half_life=0)
        options(randomize_equal_choices=False)
        return Scheduler()

    return make


def counts(classes):
    return {wanted: len(classes) - number for number, wanted in enumerate(classes) if wanted.gpus}


def guest(wanted):
    if not wanted.numa_cells:
        return None
    return builders.guest_numa(
        *((wanted.cell_vcpus, 0, wanted.cell_ram_mib) for _ in range(wanted.numa_cells))
    )


@pytest.mark.parametrize("classes", [FLOATING, WITH_CELLS], ids=["floating", "with cells"])
@pytest.mark.parametrize("seed", range(2))
def test_the_same_hosts_and_devices_are_taken(scheduler, classes, seed):
    nova = scheduler(classes)
    sims = [twins.simulated(real) for real in nova.reals.values()]
    names = [sim.name for sim in sims]
    ranker, hosts = NovaAndFragmentation(), Hosts(sims)
    ranker.begin(sims, counts(classes), random.Random(seed))
    # The scheduler learns of hosts from requests.
    nova.weigh(twins.spec_of(RequestClass("tiny", 0, None, 1, 0, 1)))
    refused = decided = 0
    for wanted in twins.requests(120, seed, classes):
        spec = twins.spec_of(wanted, guest(wanted), in_placement=True)
        expected = nova.weigh(spec)
        offers = hosts.offers(wanted)
        if offers is None:
            assert not expected
            refused += 1
            continue
        assert sorted(expected) == sorted(names[index] for index in offers.hosts)
        index, after = ranker.choose(wanted, offers)
        best = max(expected.values())
        assert expected[names[index]] == best, expected
        decided += len(expected) > 1
        nova.boot(names[index], spec)
        left = twins.left_of(nova.reals[names[index]])
        if left.free_gpus:
            assert after == left
        else:  # the scheduler looks no further
            assert (after.free_gpus, after.vcpus, after.ram_mib) == (0, left.vcpus, left.ram_mib)
        hosts.put(index, after)
        ranker.changed(index, after)
    assert refused > 5
    assert decided > 20
