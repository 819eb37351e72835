# SPDX-License-Identifier: Apache-2.0
"""Small fleets for tests of the simulator."""

import random

from nova_gpu_passthrough.packing.host_state import canonical
from nova_gpu_passthrough.policies.pack import Pack
from nova_gpu_passthrough.policies.spread import Spread
from nova_gpu_passthrough.simulator.ranker import SimulatedHost
from nova_gpu_passthrough.simulator.rankers.policy import ranker_of
from nova_gpu_passthrough.simulator.simulated_hosts import SimulatedHosts
from tests.unit.packing.host_states import gpus, host, request_class, states

ONE = request_class(1, vcpus=4, ram_mib=40)
EIGHT = request_class(8, vcpus=32, ram_mib=320)
CPU = request_class(0, vcpus=4, ram_mib=40)


def plain(free=8, vcpus=32, ram=320, model="H100"):
    """A host without NUMA cells."""
    return canonical(host(vcpus=vcpus, ram=ram, loose=gpus(free, model)))


def fleet(*empty):
    """Return a fleet of empty hosts with these states."""
    return [
        SimulatedHost(
            f"host{number:02}",
            state,
            next((group.model for group in state.gpu_groups()), None),
            state.vcpus,
            state.ram_mib,
            state.free_gpus,
        )
        for number, state in enumerate(empty)
    ]


def begun(ranker, hosts, mix=None, seed=0):
    """Return the ranker, prepared for a replay on these hosts."""
    ranker.begin(hosts, mix or {ONE: 3, EIGHT: 1}, random.Random(seed))
    return ranker


def chosen(ranker, hosts, some):
    """Return the index of the host that the ranker chooses for a server, on empty hosts."""
    return ranker.choose(some, SimulatedHosts(hosts).fitting(some))[0]


def pack():
    """Return a ranker that packs."""
    return ranker_of(Pack())


def spread():
    """Return a ranker that spreads."""
    return ranker_of(Spread())


canonical_states = states().map(canonical)
