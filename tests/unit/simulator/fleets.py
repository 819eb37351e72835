# SPDX-License-Identifier: Apache-2.0
"""Small fleets."""

import random

from nova_gpu_passthrough.packing.host_state import canonical
from nova_gpu_passthrough.simulator.hosts import Hosts
from nova_gpu_passthrough.simulator.ranker import SimHost
from tests.unit.packing.host_states import gpus, host, states, wanted

ONE = wanted(1, vcpus=4, ram_mib=40)
EIGHT = wanted(8, vcpus=32, ram_mib=320)
CPU = wanted(0, vcpus=4, ram_mib=40)


def plain(free=8, vcpus=32, ram=320, model="H100"):
    """A host without NUMA cells."""
    return canonical(host(vcpus=vcpus, ram=ram, loose=gpus(free, model)))


def fleet(*empty):
    """Hosts that are like this while they are empty."""
    return [
        SimHost(
            f"host{number:02}",
            state,
            next((group.model for group in state.groups()), None),
            state.vcpus,
            state.ram_mib,
            state.free_gpus,
        )
        for number, state in enumerate(empty)
    ]


def begun(ranker, hosts, mix=None, seed=0):
    """A ranker that knows these hosts."""
    ranker.begin(hosts, mix or {ONE: 3, EIGHT: 1}, random.Random(seed))
    return ranker


def chosen(ranker, hosts, some):
    """The index that it chooses for a server, on hosts as they are."""
    return ranker.choose(some, Hosts(hosts).offers(some))[0]


canonical_states = states().map(canonical)
