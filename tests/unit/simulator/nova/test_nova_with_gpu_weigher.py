# SPDX-License-Identifier: Apache-2.0
"""Compare the ranker ``nova+fragmentation`` with a scheduler that has our filter and weigher."""

import random

import pytest
from nova.scheduler import filters, weights
from nova.scheduler.filters.numa_topology_filter import NUMATopologyFilter

from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass
from nova_gpu_passthrough.policies import mix
from nova_gpu_passthrough.scheduler.filters import GpuPassthroughFilter
from nova_gpu_passthrough.scheduler.weights import GpuPassthroughWeigher
from nova_gpu_passthrough.simulator.nova.nova_with_gpu_weigher import NovaFragmentationRanker
from nova_gpu_passthrough.simulator.simulated_hosts import SimulatedHosts
from tests.unit import builders
from tests.unit.scheduler import nova_hosts
from tests.unit.simulator.nova import twins

FLEET = [
    # GPUs linked in pairs, all linked across NUMA nodes, linked crosswise, and not linked.
    *((f"pairs{n}", {"link": lambda gpu: f"bridge{gpu // 2}", "cpus": 30 + n}) for n in range(2)),
    ("board", {"link": lambda gpu: "board", "ram": 98304}),
    ("crosswise", {"link": lambda gpu: f"bridge{gpu % 4}", "cpus": 40}),
    *((f"plain{n}", {"ram": 120000 + 1024 * n}) for n in range(2)),
    ("few", {"gpus": 3, "cpus": 48}),
    ("none", {"gpus": 0, "cpus": 8}),
]
PINNED = RequestClass(
    "one cell", 2, twins.MODEL, 8, 0, 16384, 1, numa_cells=1, gpu_locality=GpuLocality.LOCAL
)
WIDE = RequestClass(
    "two cells", 4, twins.MODEL, 16, 0, 32768, 1, numa_cells=2, gpu_locality=GpuLocality.LOCAL
)
FLOATING = twins.CLASSES
WITH_CELLS = [*twins.CLASSES[:3], PINNED, WIDE]


class Scheduler:
    """The deciding parts of nova-scheduler; the tests take the part of Placement."""

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
        """Return the hosts that Placement would return."""
        found = []
        gpus = sum(request.count for request in spec.pci_requests.requests)
        for real in self.reals.values():
            if (
                spec.vcpus <= real.vcpus_total - real.vcpus_used
                and spec.memory_mb <= real.free_ram_mb
                and spec.root_gb * 1024 <= real.free_disk_mb
                and gpus <= sum(pool["count"] for pool in real.pci_stats.pools)
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
    return {
        request_class: len(classes) - number
        for number, request_class in enumerate(classes)
        if request_class.gpus
    }


def guest(request_class):
    if not request_class.numa_cells:
        return None
    return builders.guest_numa_topology(
        *(
            (request_class.cell_vcpus, 0, request_class.cell_ram_mib)
            for _ in range(request_class.numa_cells)
        )
    )


@pytest.mark.parametrize("classes", [FLOATING, WITH_CELLS], ids=["floating", "with cells"])
@pytest.mark.parametrize("seed", range(2))
def test_the_same_hosts_and_devices_are_chosen(scheduler, classes, seed):
    nova = scheduler(classes)
    sims = [twins.simulated(real) for real in nova.reals.values()]
    names = [sim.name for sim in sims]
    ranker, hosts = NovaFragmentationRanker(), SimulatedHosts(sims)
    ranker.begin(sims, counts(classes), random.Random(seed))
    # The scheduler gets to know hosts by requests.
    nova.weigh(twins.spec_of(RequestClass("tiny", 0, None, 1, 0, 1)))
    refused = decided = 0
    for request_class in twins.requests(120, seed, classes):
        spec = twins.spec_of(request_class, guest(request_class), in_placement=True)
        expected = nova.weigh(spec)
        fitting = hosts.fitting(request_class)
        if fitting is None:
            assert not expected
            refused += 1
            continue
        assert sorted(expected) == sorted(names[index] for index in fitting.hosts)
        index, after = ranker.choose(request_class, fitting)
        best = max(expected.values())
        assert expected[names[index]] == best, expected
        decided += len(expected) > 1
        nova.boot(names[index], spec)
        left = twins.left_of(nova.reals[names[index]])
        if left.free_gpus:
            assert after == left
        else:  # the scheduler does not read the cells of a host without free GPUs
            assert (after.free_gpus, after.vcpus, after.ram_mib) == (0, left.vcpus, left.ram_mib)
        hosts.put(index, after)
        ranker.changed(index, after)
    assert refused > 5
    assert decided > 20
