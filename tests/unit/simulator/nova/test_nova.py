# SPDX-License-Identifier: Apache-2.0
"""Compare the ranker ``nova`` with Nova's weigher code, on hosts that Nova updates."""

import random

import pytest
from nova.scheduler import weights

from nova_gpu_passthrough.packing.host_state import CellState, GpuGroup, HostState
from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass
from nova_gpu_passthrough.simulator.nova.nova import NovaRanker, used_cells
from nova_gpu_passthrough.simulator.simulated_hosts import SimulatedHosts
from tests.unit.simulator.nova import twins

#: Equal and different hosts, one of them without GPUs.
FLEET = [
    ("a1", {}),
    ("a2", {}),
    ("a3", {}),
    ("few", {"gpus": 2, "cpus": 12, "ram": 65536}),
    ("fat", {"cpus": 60, "ram": 262144, "disk": 200}),
    ("four", {"gpus": 4, "ram": 98304, "disk": 2000}),
    ("none", {"gpus": 0}),
]


def fleet():
    return [twins.real_host(name, **kind) for name, kind in FLEET]


def begin(reals, seed=1):
    ranker = NovaRanker()
    sims = [twins.simulated(real) for real in reals]
    ranker.begin(sims, {}, random.Random(seed))
    return ranker, SimulatedHosts(sims)


def nova_weights(reals, spec):
    handler = weights.HostWeightHandler()
    weighers = [cls() for cls in weights.all_weighers()]
    found = handler.get_weighed_objects(weighers, reals, spec)
    return {item.obj.host: item.weight for item in found}


def put(ranker, hosts, index, real):
    left = twins.left_of(real)
    hosts.put(index, left)
    ranker.changed(index, left)


@pytest.mark.parametrize("seed", range(5))
def test_weights_and_hosts_are_those_of_nova_while_servers_start_and_end(seed):
    reals = fleet()
    ranker, hosts = begin(reals)
    rng = random.Random(seed)
    servers = []
    decided = 0
    for request_class in twins.requests(120, seed):
        spec = twins.spec_of(request_class)
        fitting = hosts.fitting(request_class)
        if fitting is not None:
            names = [reals[index].host for index in fitting.hosts]
            expected = nova_weights([reals[index] for index in fitting.hosts], spec)
            assert dict(zip(names, ranker.weights(fitting.hosts), strict=True)) == expected
            index, _ = ranker.choose(request_class, fitting)
            assert expected[reals[index].host] == max(expected.values())
            decided += len(set(expected.values())) > 1
            reals[index]._locked_consume_from_request(spec)
            twins.built(reals[index])
            put(ranker, hosts, index, reals[index])
            servers.append((index, request_class))
        if servers and rng.random() < 0.4:
            index, _ = servers.pop(rng.randrange(len(servers)))
            # The compute node reports its other servers.
            reals[index] = twins.real_host(FLEET[index][0], **FLEET[index][1])
            for place, other in servers:
                if place == index:
                    reals[index]._locked_consume_from_request(twins.spec_of(other))
            twins.built(reals[index])
            put(ranker, hosts, index, reals[index])
    assert decided > 60


def test_the_ranker_updates_hosts_as_nova_does():
    reals = fleet()
    ranker, hosts = begin(reals)
    for request_class in twins.requests(60, 3):
        fitting = hosts.fitting(request_class)
        if fitting is None:
            continue
        index, _ = ranker.choose(request_class, fitting)
        real, ours = reals[index], ranker._hosts[index].state
        real._locked_consume_from_request(twins.spec_of(request_class))
        twins.built(real)
        put(ranker, hosts, index, real)
        assert (ours.vcpus_used, ours.free_ram_mb, ours.free_disk_mb, ours.num_instances) == (
            real.vcpus_used,
            real.free_ram_mb,
            real.free_disk_mb,
            real.num_instances,
        )
        assert sum(pool["count"] for pool in ours.pci_stats.pools) == sum(
            pool["count"] for pool in real.pci_stats.pools
        )


def test_a_single_host_is_not_weighed():
    ranker, hosts = begin(fleet()[:1])
    fitting = hosts.fitting(twins.CLASSES[2])
    assert ranker.weights(fitting.hosts).tolist() == [0.0]
    assert ranker.choose(twins.CLASSES[2], fitting)[0] == 0


def test_thousandths_of_vcpus_weigh_like_whole_ones():
    reals = fleet()
    whole, hosts = begin(reals)
    thousandths = NovaRanker()
    thousandths.begin(
        [
            host._replace(
                state=host.state._replace(vcpus=1000 * host.state.vcpus), vcpus=1000 * host.vcpus
            )
            for host in map(twins.simulated, reals)
        ],
        {},
        random.Random(1),
    )
    every = hosts.fitting(twins.CLASSES[0]).hosts
    assert thousandths.weights(every).tolist() == whole.weights(every).tolist()


def test_the_order_of_equal_hosts_is_fixed_during_a_run_and_differs_between_runs():
    reals = [twins.real_host(f"host{number}") for number in range(6)]
    firsts = set()
    for seed in range(12):
        ranker, hosts = begin(reals, seed)
        fitting = hosts.fitting(twins.CLASSES[0])
        found = {ranker.choose(twins.CLASSES[0], fitting)[0] for _ in range(5)}
        assert len(found) == 1
        firsts |= found
    assert len(firsts) > 2


# -- NUMA cells ------------------------------------------------------------------------------


def cells_of(*cells):
    groups = [(GpuGroup("m", 0, gpus),) if gpus else () for _, _, gpus in cells]
    return HostState(
        tuple(
            CellState(cpus, 0, ram, gpus)
            for (cpus, ram, _), gpus in zip(cells, groups, strict=True)
        ),
        100,
        100000,
    )


@pytest.mark.parametrize(
    "gpus, cells, taken",
    [
        # The cell with the most free devices for servers with GPUs, then that with the most CPUs.
        (1, [(8, 4000, 1), (4, 4000, 3)], 1),
        (1, [(4, 9000, 2), (8, 4000, 2)], 1),
        (1, [(8, 4000, 2), (8, 9000, 2)], 1),
        # The one with the fewest for others.
        (0, [(4, 4000, 1), (8, 4000, 3)], 0),
        (0, [(4, 4000, 2), (8, 4000, 2)], 1),
    ],
)
def test_numa_cells_are_tried_in_the_order_of_nova(gpus, cells, taken):
    request_class = RequestClass(
        "one cell",
        gpus,
        "m" if gpus else None,
        2,
        0,
        1024,
        numa_cells=1,
        gpu_locality=GpuLocality.LOCAL,
    )
    before = cells_of(*cells)
    ranker, _ = begin(fleet())
    fitting = twins.fitting([before], request_class)
    assert len(fitting.after(0)) == 2
    _, after = ranker.choose(request_class, fitting)
    assert used_cells(before, after) == [before.cells[taken]]
