# SPDX-License-Identifier: Apache-2.0
"""Measure filter and weigher with each policy on 1,000 and 10,000 hosts, and Nova's weighers."""

import gc
import statistics
import tempfile
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nova import objects
from nova.scheduler import weights

from nova_gpu_passthrough import conf as gpu_conf
from nova_gpu_passthrough.policies import mix
from nova_gpu_passthrough.scheduler.filters import GpuPassthroughFilter
from nova_gpu_passthrough.scheduler.weights import GpuPassthroughWeigher
from tests.benchmarks import CONF, report, servers, timing, used_hosts

_POLICIES = ("pack", "spread", "fragmentation")
_COUNTS = (1000, 10_000)
#: Maximum seconds per host of a policy for whole hosts.
_LIMIT = 200e-6
#: Maximum growth of the cost per host with ten times as many hosts that still counts as linear:
#: processor caches and Python's garbage collector also have an effect.
_LINEAR = 1.5


def main(expectations: report.Expectations, quick: bool) -> None:
    """Measure and print, and compare with the expectations."""
    counts = (100, 1000) if quick else _COUNTS
    repeats = 3 if quick else 5
    results = []
    for count in counts:
        report.progress(f"policies: building {count} hosts")
        states = used_hosts.fleet(count)
        for policy in _POLICIES:
            report.progress(f"policies: {count} hosts, {policy}")
            results.append(_measure(policy, states, repeats))
    report.heading("By policy, 2 to 8 of 8 GPUs free: us per host, ms per request")
    report.table(
        [
            "hosts",
            "policy",
            "filter, first",
            "filter, later",
            "2 GPUs, first",
            "2 GPUs, later",
            "no GPUs, first",
            "no GPUs, later",
            "Nova's",
            "request (ms)",
            "Nova's (ms)",
        ],
        [_times(result) for result in results],
        [
            "first: filter, weigher and policy know no host yet; later: the median of further",
            "requests, with one host changed in between. Filter: ours, with one candidate a host.",
            "Nova's: all of its default weighers together, for a server with 2 GPUs. Request:",
            "filter and weigher for that server, later, on all hosts.",
        ],
    )
    report.heading("Memory of filter, weigher and policy")
    report.table(
        ["hosts", "policy", "KiB a host", "MiB"],
        [_memory(result) for result in results],
        [
            "After both kinds of requests, without the memory of the hosts themselves. Of",
            f"{counts[-1]:,} hosts {used_hosts.distinct(states):,} differ in their free resources;",
            f"the mix has {len(used_hosts.mix())} classes.",
        ],
    )
    _judge(results, expectations)


@dataclass(frozen=True)
class Result:
    """Seconds for all hosts."""

    policy: str
    hosts: int
    filter_first: float
    filter_later: float
    first: float
    later: float
    plain_first: float
    plain_later: float
    nova: float
    memory: int
    """Bytes."""

    @property
    def request(self) -> float:
        """Return the time for a server with GPUs when the hosts are known."""
        return self.filter_later + self.later


def _measure(policy: str, states: Sequence[Any], repeats: int) -> Result:
    gpus, plain = servers.request(2, policy="preferred"), servers.request(0, numa=False)
    for spec in (gpus, plain):
        # Nova's weighers read these.
        spec.instance_group = spec.requested_destination = None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mix.yaml"
        path.write_text(mix.dump(used_hosts.mix()))
        overrides = {"policy": policy, "mix_file": str(path)}
        for name, value in overrides.items():
            CONF.set_override(name, value, group=gpu_conf.GROUP.name)
        try:
            filter_first, filter_later = _filtered(states, gpus, repeats)
            first, later = _requests(GpuPassthroughWeigher(), states, gpus, repeats)
            plain_first, plain_later = _requests(GpuPassthroughWeigher(), states, plain, repeats)
            memory = _remembered(states, gpus, plain)
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
        policy,
        len(states),
        filter_first,
        filter_later,
        first,
        later,
        plain_first,
        plain_later,
        nova,
        memory,
    )


def _filtered(
    states: Sequence[Any], spec: objects.RequestSpec, repeats: int
) -> tuple[float, float]:
    """Return the times of the first request and the median of later ones."""
    timing.forget_choices()
    gpu_filter = GpuPassthroughFilter()
    times = []
    for _ in range(1 + repeats):
        used_hosts.offer(states, spec)
        passed: list[Any] = []
        times.append(
            timing.seconds(
                lambda passed=passed: passed.extend(timing.run([gpu_filter], states, spec))
            )
        )
        if len(passed) != len(states):
            raise RuntimeError(f"{len(states) - len(passed)} hosts were refused")
    return times[0], statistics.median(times[1:])


def _remembered(
    states: Sequence[Any], gpus: objects.RequestSpec, plain: objects.RequestSpec
) -> int:
    """Return the bytes that are kept between requests."""
    used_hosts.offer(states, gpus)
    timing.forget_choices()
    gc.collect()
    tracemalloc.start()
    try:
        gpu_filter, weigher = GpuPassthroughFilter(), GpuPassthroughWeigher()
        for spec in (gpus, plain):
            timing.run([gpu_filter], states, spec)
            _weigh([weigher], states, spec)
        for state in states:
            state.allocation_candidates = []
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return kept


def _requests(
    weigher: GpuPassthroughWeigher,
    states: Sequence[Any],
    spec: objects.RequestSpec,
    repeats: int,
) -> tuple[float, float]:
    """Return the times of the first request and the median of later ones."""
    first = timing.seconds(lambda: _weigh([weigher], states, spec))
    later = []
    for number in range(repeats):
        # The memory allocated to a server.
        states[number].free_ram_mb -= 4096
        later.append(timing.seconds(lambda: _weigh([weigher], states, spec)))
    return first, statistics.median(later)


def _weigh(weighers: Sequence[Any], states: Sequence[Any], spec: objects.RequestSpec) -> object:
    return weights.HostWeightHandler().get_weighed_objects(weighers, states, spec)


def _times(result: Result) -> list[str]:
    each = [
        report.microseconds(seconds / result.hosts)
        for seconds in (
            result.filter_first,
            result.filter_later,
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
        report.milliseconds(result.request),
        report.milliseconds(result.nova),
    ]


def _memory(result: Result) -> list[str]:
    return [
        f"{result.hosts:,}",
        result.policy,
        f"{result.memory / result.hosts / 1024:.1f}",
        f"{result.memory / 2**20:.1f}",
    ]


def _judge(results: Sequence[Result], expectations: report.Expectations) -> None:
    ours = [result for result in results if result.policy == "fragmentation"]
    for what, worst in (
        ("first", max(max(r.first, r.plain_first) / r.hosts for r in ours)),
        ("later", max(max(r.later, r.plain_later) / r.hosts for r in ours)),
    ):
        expectations.add(
            f"fragmentation costs at most {_LIMIT * 1e6:.0f} us per host ({what} requests)",
            worst <= _LIMIT,
            f"{report.microseconds(worst)} us",
        )
    for policy in _POLICIES:
        small, large = (r for r in results if r.policy == policy)
        growth = max(
            _growth(small, large, lambda r: r.filter_later),
            _growth(small, large, lambda r: r.later),
            _growth(small, large, lambda r: r.plain_later),
        )
        novas = _growth(small, large, lambda r: r.nova)
        expectations.add(
            f"with {large.hosts // small.hosts}x as many hosts, {policy} costs no more per host",
            growth <= max(_LINEAR, novas),
            f"filter or weigher {report.times(growth)}, Nova's weighers {report.times(novas)} "
            f"({report.times(_LINEAR)}, or what Nova's grow by, passes)",
        )
    small, large = ours
    growth = _growth(small, large, lambda r: r.memory)
    expectations.add(
        "memory grows linearly with the number of hosts",
        growth <= _LINEAR,
        f"{report.times(growth)} a host, {large.memory / 2**20:.0f} MiB for {large.hosts:,} hosts",
    )


def _growth(small: Result, large: Result, cost: Callable[[Result], float]) -> float:
    """Return the growth of the cost per host with more hosts."""
    return (cost(large) / large.hosts) / (cost(small) / small.hosts)
