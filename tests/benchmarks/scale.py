# SPDX-License-Identifier: Apache-2.0
"""Filter and weigh 10,000 hosts for one request."""

import statistics

from nova.scheduler import weights
from nova.scheduler.filters.pci_passthrough_filter import PciPassthroughFilter

from nova_gpu_passthrough.scheduler.filters import GpuPassthroughFilter
from nova_gpu_passthrough.scheduler.weights import GpuPassthroughWeigher
from tests.benchmarks import hosts, report, servers, timing

_GPUS = (1, 4, 8)


def main(expectations: report.Expectations, quick: bool) -> None:
    """Measure and print; there are no expectations."""
    count, baseline_count, repeats = (1000, 100, 1) if quick else (10_000, 500, 1)
    report.progress(f"scale: building {count} hosts")
    before = report.peak_mib()
    states = hosts.many(count)
    built = report.peak_mib()
    rows = []
    for gpus in _GPUS:
        report.progress(f"scale: {count} hosts, {gpus} GPUs")
        spec = servers.request(gpus)
        response = servers.PlacementResponse(spec, states, 1)
        filtered, weighed = [], []
        for _ in range(repeats):
            timing.forget_choices()
            response.assign_candidates(0, count)
            gpu_filter = GpuPassthroughFilter()
            filtered.append(
                timing.seconds(lambda f=gpu_filter, spec=spec: timing.run([f], states, spec))
            )
            weigher, handler = GpuPassthroughWeigher(), weights.HostWeightHandler()
            weighed.append(
                timing.seconds(
                    lambda spec=spec, weigher=weigher, handler=handler: handler.get_weighed_objects(
                        [weigher], states, spec
                    )
                )
            )
        baseline_hosts = response.assign_candidates(0, baseline_count)
        baseline = timing.seconds(
            lambda spec=spec, baseline_hosts=baseline_hosts: timing.run(
                [PciPassthroughFilter()], baseline_hosts, spec
            )
        )
        response.clear_candidates()
        ours = statistics.median(filtered)
        rows.append(
            [
                str(gpus),
                report.microseconds(ours / count),
                report.microseconds(statistics.median(weighed) / count),
                report.microseconds(baseline / baseline_count) + "*",
                f"{ours + statistics.median(weighed):.2f}",
            ]
        )
    report.heading(f"{count:,} hosts with 8 free GPUs, one candidate each: us per host")
    report.table(
        ["GPUs", "our filter", "our weigher", "PciPassthroughFilter", "ours, all hosts (s)"],
        rows,
        [
            f"* on {baseline_count:,} hosts. The weigher's time includes Nova's normalization.",
            "The hosts share one NUMA topology object (nothing writes to it), to save memory.",
            (
                f"Memory: {before:,.0f} MiB before, {built:,.0f} MiB with the hosts, "
                f"{report.peak_mib():,.0f} MiB at most."
            ),
        ],
    )
