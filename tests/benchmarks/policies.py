# SPDX-License-Identifier: Apache-2.0
"""The weigher with each policy on 1,000 and 10,000 hosts, beside Nova's default weighers."""

import gc
import os
import random
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nova import objects
from nova.scheduler import weights

from nova_gpu_passthrough import conf as gpu_conf
from nova_gpu_passthrough.policies import mix
from nova_gpu_passthrough.scheduler.filters import GpuPassthroughFilter
from nova_gpu_passthrough.scheduler.weights import GpuPassthroughWeigher
from nova_gpu_passthrough.topology.host_state import HostState
from nova_gpu_passthrough.topology.request_class import Reach, RequestClass
from tests.benchmarks import CONF, hosts, report, servers, timing

_SEED = 2026
_POLICIES = ("pack", "spread", "fragmentation")
_COUNTS = (1000, 10_000)
#: What a host may cost the policy that looks at all of it.
_LIMIT = 200e-6
#: How much more a host may cost among ten times as many, before that is no longer linear: what a
#: processor's caches hold differs, too.
_GROWTH = 1.5
#: Different sets of what is in use on NUMA cells; the topologies themselves are shared.
_TOPOLOGIES = 200
_SIZES = (1, 2, 4, 8)


def main(verdicts: report.Verdicts, quick: bool) -> None:
    """Measure, print, judge."""
    counts = (100, 1000) if quick else _COUNTS
    repeats = 3 if quick else 5
    results = []
    for count in counts:
        report.progress(f"policies: building {count} hosts")
        states = fleet(count)
        for policy in _POLICIES:
            report.progress(f"policies: {count} hosts, {policy}")
            results.append(_measure(policy, states, repeats))
    report.heading("The weigher by policy, 2 to 8 of 8 GPUs free: us per host")
    report.table(
        [
            "hosts",
            "policy",
            "2 GPUs, first",
            "2 GPUs, later",
            "no GPUs, first",
            "no GPUs, later",
            "Nova's",
            "times Nova's",
            "all hosts (ms)",
            "memory (MiB)",
        ],
        [_row(result) for result in results],
        [
            "first: the policy has met no host yet; later: the median of further requests, with",
            "one host changed in between. Nova's: all of its default weighers together, for the",
            "server with 2 GPUs; times Nova's and all hosts: that server, later. Memory: what the",
            f"process grew by with weigher and policy. {_distinct(states)} of {counts[-1]:,} hosts",
            f"differ in what they have left; the mix has {len(_mix())} classes.",
        ],
    )
    _judge(results, verdicts)


@dataclass(frozen=True)
class Result:
    """Seconds for all hosts."""

    policy: str
    hosts: int
    first: float
    later: float
    plain_first: float
    plain_later: float
    nova: float
    memory_mib: float


def fleet(count: int) -> list[Any]:
    """HGX hosts of which servers have taken parts: no two need be alike."""
    rng = random.Random(_SEED)
    topologies = [_used(rng) for _ in range(_TOPOLOGIES)]
    states = hosts.many(count)
    for state in states:
        state.numa_topology = rng.choice(topologies)
        pools = state.pci_stats.pools
        rng.shuffle(pools)
        del pools[rng.randint(2, hosts.GPUS) :]
        pools.sort(key=lambda pool: pool["address"])
        state.vcpus_used = rng.randrange(0, state.vcpus_total // 2, 4)
        state.free_ram_mb -= rng.randrange(0, state.total_usable_ram_mb // 2, 8192)
        state.free_disk_mb = 1024 * 1024
    return states


def _used(rng: random.Random) -> objects.NUMATopology:
    topology = hosts.numa_topology()
    for cell in topology.cells:
        cell.cpu_usage = rng.randrange(0, hosts.CPUS_PER_NODE // 3, 4)
        cell.memory_usage = rng.randrange(0, hosts.MIB_PER_NODE // 3, 8192)
        cell.mempages[0].used = cell.memory_usage * 256
    return topology


def _mix() -> dict[RequestClass, float]:
    """Four sizes in six shapes each."""
    return {
        RequestClass(
            f"g{gpus}-{shape}",
            gpus,
            hosts.HGX.model,
            vcpus=(4 + 4 * shape) * gpus,
            ram_mib=(1 + shape % 3) * 65536 * gpus,
            numa_cells=0 if shape % 2 else servers.guest_cells(gpus),
            reach=Reach.ANYWHERE if shape % 2 else Reach.NOT_FAR,
            linked=shape == 5,
        ): 100.0 / (gpus * (1 + shape))
        for gpus in _SIZES
        for shape in range(6)
    }


def _measure(policy: str, states: Sequence[Any], repeats: int) -> Result:
    gpus, plain = servers.request(2, policy="preferred"), servers.request(0, numa=False)
    for spec in (gpus, plain):
        # Nova's weighers look at these.
        spec.instance_group = spec.requested_destination = None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mix.yaml"
        path.write_text(mix.dump(_mix()))
        overrides = {"policy": policy, "mix_file": str(path)}
        for name, value in overrides.items():
            CONF.set_override(name, value, group=gpu_conf.GROUP.name)
        try:
            for number, state in enumerate(states):
                free = _free(number, state)
                state.allocation_candidates = servers.candidates(number, gpus, 1, free)
            passed = timing.run([GpuPassthroughFilter()], states, gpus)
            if len(passed) != len(states):
                raise RuntimeError(f"{len(states) - len(passed)} hosts were refused")
            gc.collect()
            before = _resident_mib()
            first, later = _requests(GpuPassthroughWeigher(), states, gpus, repeats)
            plain_first, plain_later = _requests(GpuPassthroughWeigher(), states, plain, repeats)
            weigher = GpuPassthroughWeigher()
            _weigh([weigher], states, gpus)
            gc.collect()
            memory = _resident_mib() - before
        finally:
            for name in overrides:
                CONF.clear_override(name, group=gpu_conf.GROUP.name)
            for state in states:
                state.allocation_candidates = []
    novas = [cls() for cls in weights.all_weighers()]
    nova = statistics.median(
        timing.seconds(lambda: _weigh(novas, states, gpus)) for _ in range(repeats)
    )
    return Result(
        policy, len(states), first, later, plain_first, plain_later, nova, max(0.0, memory)
    )


def _requests(
    weigher: GpuPassthroughWeigher,
    states: Sequence[Any],
    spec: objects.RequestSpec,
    repeats: int,
) -> tuple[float, float]:
    """The first request and the median of later ones."""
    first = timing.seconds(lambda: _weigh([weigher], states, spec))
    later = []
    for number in range(repeats):
        # What a server takes of the host that it got.
        states[number].free_ram_mb -= 4096
        later.append(timing.seconds(lambda: _weigh([weigher], states, spec)))
    return first, statistics.median(later)


def _weigh(weighers: Sequence[Any], states: Sequence[Any], spec: objects.RequestSpec) -> object:
    return weights.HostWeightHandler().get_weighed_objects(weighers, states, spec)


def _free(number: int, state: Any) -> list[int]:
    """The numbers of the host's free GPUs."""
    left = {pool["rp_uuid"] for pool in state.pci_stats.pools}
    return [gpu for gpu in range(hosts.GPUS) if hosts.provider(number, gpu) in left]


def _distinct(states: Sequence[Any]) -> str:
    from nova_gpu_passthrough.scheduler import whole_host

    found: set[HostState] = set()
    for state in states:
        whole = whole_host.read(state)
        if whole is not None:
            found.add(whole.before())
    return f"{len(found):,}"


def _resident_mib() -> float:
    """Memory that the process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _row(result: Result) -> list[str]:
    each = [
        report.microseconds(seconds / result.hosts)
        for seconds in (
            result.first,
            result.later,
            result.plain_first,
            result.plain_later,
            result.nova,
        )
    ]
    return [
        f"{result.hosts:,}",
        result.policy,
        *each,
        report.times(result.later / result.nova),
        report.milliseconds(result.later),
        f"{result.memory_mib:.0f}",
    ]


def _judge(results: Sequence[Result], verdicts: report.Verdicts) -> None:
    ours = [result for result in results if result.policy == "fragmentation"]
    for what, worst in (
        ("first", max(max(r.first, r.plain_first) / r.hosts for r in ours)),
        ("later", max(max(r.later, r.plain_later) / r.hosts for r in ours)),
    ):
        verdicts.add(
            f"policy fragmentation costs at most {_LIMIT * 1e6:.0f} us a host ({what} requests)",
            worst <= _LIMIT,
            f"{report.microseconds(worst)} us",
        )
    for policy in _POLICIES:
        small, large = (r for r in results if r.policy == policy)
        growth = max(
            (large.later / large.hosts) / (small.later / small.hosts),
            (large.plain_later / large.hosts) / (small.plain_later / small.hosts),
        )
        verdicts.add(
            f"with {large.hosts // small.hosts} times as many hosts, {policy} costs a host no more",
            growth <= _GROWTH,
            f"{report.times(growth)} a host ({report.times(_GROWTH)} passes)",
        )
