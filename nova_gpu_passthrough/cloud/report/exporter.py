# SPDX-License-Identifier: Apache-2.0
"""The Prometheus collector: the metrics of the last snapshot, and of reading the cloud itself."""

import time
from collections.abc import Callable, Iterator
from importlib import metadata

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nova_gpu_passthrough.cloud.report.metrics import families
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot


class Exporter(Collector):
    """Collects the metrics of the last snapshot; another thread may collect during a refresh."""

    def __init__(self, take: Callable[[], Snapshot], devices: bool = True) -> None:
        """Create an exporter that has not read the cloud yet.

        :param take: reads the cloud
        :param devices: whether each GPU gets a time series of its own
        """
        self._take = take
        self._devices = devices
        self._metrics: tuple[Metric, ...] = ()
        self._results = {"success": 0, "failure": 0}
        self._last_succeeded = False
        self._seconds = 0.0

    def refresh(self) -> None:
        """Read the cloud; if that fails, keep the metrics of the previous snapshot.

        :raises Exception: whatever ``take`` raises
        """
        started, succeeded = time.monotonic(), False
        try:
            self._metrics = tuple(families(self._take(), self._devices))
            succeeded = True
        finally:
            self._seconds = time.monotonic() - started
            self._last_succeeded = succeeded
            self._results["success" if succeeded else "failure"] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; those of the cloud only after it was read successfully once."""
        yield from self._metrics
        yield GaugeMetricFamily(
            "nova_gpu_read_success",
            "Whether the last attempt to read the cloud succeeded",
            self._last_succeeded,
        )
        yield GaugeMetricFamily(
            "nova_gpu_read_duration_seconds",
            "Duration of the last attempt to read the cloud, failed or not",
            self._seconds,
        )
        reads = CounterMetricFamily(
            "nova_gpu_reads", "Attempts to read the cloud by result", labels=("result",)
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
        """Yield nothing, so that registering the exporter does not read the cloud."""
        return iter(())
