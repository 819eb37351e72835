# SPDX-License-Identifier: Apache-2.0
"""What Prometheus' client collects: the last snapshot, and how reading the cloud goes."""

import time
from collections.abc import Callable, Iterator
from importlib import metadata

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nova_gpu_passthrough.cloud.report.metrics import families
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot


class Exporter(Collector):
    """Keeps the metrics of the last snapshot; another thread may collect while it reads."""

    def __init__(self, take: Callable[[], Snapshot], devices: bool = True) -> None:
        """Nothing is read yet.

        :param take: reads the cloud
        :param devices: whether each GPU has a series of its own
        """
        self._take = take
        self._devices = devices
        self._found: tuple[Metric, ...] = ()
        self._results = {"success": 0, "failure": 0}
        self._last_succeeded = False
        self._seconds = 0.0

    def refresh(self) -> None:
        """Read the cloud; if that fails, what was read before is kept.

        :raises Exception: whatever ``take`` raises
        """
        started, succeeded = time.monotonic(), False
        try:
            self._found = tuple(families(self._take(), self._devices))
            succeeded = True
        finally:
            self._seconds = time.monotonic() - started
            self._last_succeeded = succeeded
            self._results["success" if succeeded else "failure"] += 1

    def collect(self) -> Iterator[Metric]:
        """The metrics; without those of the cloud, if it was never read."""
        yield from self._found
        yield GaugeMetricFamily(
            "nova_gpu_read_success",
            "Whether the cloud could be read the last time it was tried",
            self._last_succeeded,
        )
        yield GaugeMetricFamily(
            "nova_gpu_read_duration_seconds",
            "How long the last reading of the cloud took, failed or not",
            self._seconds,
        )
        reads = CounterMetricFamily(
            "nova_gpu_reads", "Readings of the cloud by result", labels=("result",)
        )
        for result, count in self._results.items():
            reads.add_metric((result,), count)
        yield reads
        build = GaugeMetricFamily(
            "nova_gpu_build_info", "Version of nova-gpu-passthrough", labels=("version",)
        )
        build.add_metric((metadata.version("nova-gpu-passthrough"),), 1)
        yield build

    def describe(self) -> Iterator[Metric]:
        """Nothing: the registry need not read the cloud to know names."""
        return iter(())
