# SPDX-License-Identifier: Apache-2.0
"""Measure the cost of filter and weigher for servers without GPUs."""

import statistics
from typing import Any

from nova.scheduler import weights

from nova_gpu_passthrough import conf as gpu_conf
from nova_gpu_passthrough.scheduler.filters import GpuPassthroughFilter
from nova_gpu_passthrough.scheduler.weights import GpuPassthroughWeigher
from tests.benchmarks import CONF, hosts, report, servers, timing

_LIMIT = 20e-6
_RESERVED = {"reserved_vcpus_per_gpu": 12, "reserved_ram_mib_per_gpu": 131072}
_AGGREGATE = {f"{gpu_conf.AGGREGATE_PREFIX}{name}": str(v) for name, v in _RESERVED.items()}

#: Title, options of [gpu_passthrough], metadata of an aggregate that all hosts are in.
_CASES: tuple[tuple[str, dict[str, Any], dict[str, str] | None], ...] = (
    ("default options", {}, None),
    ("default options, hosts in two aggregates", {}, {}),
    ("vCPUs and RAM reserved per GPU by options", _RESERVED, None),
    ("the same, hosts in two aggregates", _RESERVED, {}),
    ("the same by metadata of an aggregate", {}, _AGGREGATE),
    ("only_gpu_servers (all hosts are refused)", {"only_gpu_servers": True}, None),
)


def main(expectations: report.Expectations, quick: bool) -> None:
    """Measure and print, and compare with the expectations."""
    count, repeats = (1000, 3) if quick else (10_000, 5)
    report.progress(f"plain: building {count} hosts")
    states = hosts.many(count)
    spec = servers.request(0, numa=False)
    rows = []
    worst_filter = worst_both = 0.0
    for title, options, metadata in _CASES:
        report.progress(f"plain: {title}")
        for state in states:
            state.aggregates = []
        if metadata is not None:
            hosts.put_into_aggregate(states, metadata)
        for name, value in options.items():
            CONF.set_override(name, value, group=gpu_conf.GROUP.name)
        gpu_filter, weigher = GpuPassthroughFilter(), GpuPassthroughWeigher()
        handler = weights.HostWeightHandler()
        filtering = statistics.median(
            timing.seconds(lambda f=gpu_filter: timing.run([f], states, spec))
            for _ in range(repeats)
        )
        weighing = statistics.median(
            timing.seconds(lambda h=handler, w=weigher: h.get_weighed_objects([w], states, spec))
            for _ in range(repeats)
        )
        for name in options:
            CONF.clear_override(name, group=gpu_conf.GROUP.name)
        worst_filter = max(worst_filter, filtering / count)
        worst_both = max(worst_both, (filtering + weighing) / count)
        rows.append(
            [
                title,
                report.microseconds(filtering / count),
                report.microseconds(weighing / count),
                report.microseconds((filtering + weighing) / count),
            ]
        )
    report.heading(f"Servers without GPUs, {count:,} hosts with 8 free GPUs: us per host")
    report.table(
        ["", "our filter", "our weigher", "both"],
        rows,
        ["The times include Nova's handlers of filters and weighers."],
    )
    for what, worst in (("filter", worst_filter), ("filter and weigher together", worst_both)):
        expectations.add(
            f"requests without GPUs cost under {_LIMIT * 1e6:.0f} us a host ({what})",
            worst < _LIMIT,
            f"at most {report.microseconds(worst)} us",
        )
