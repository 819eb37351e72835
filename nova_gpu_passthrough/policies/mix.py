# SPDX-License-Identifier: Apache-2.0
"""The mix of requests: classes of servers with GPUs and how often each is requested.

It is configured by a file (YAML, checked against ``mix-v1.json`` in this folder), learned from
incoming requests, or both. Classes without GPUs are left out: they do not strand GPUs themselves,
and the states of hosts show what they consume.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nova_gpu_passthrough.files import documents
from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass, gpu_locality
from nova_gpu_passthrough.topology.model import NumaPolicy

VERSION = 1
SCHEMA = "nova-gpu-passthrough/mix"
#: Maximum number of classes, since each costs time on every host. Those with the most GPUs in large
#: servers are kept.
MAX_CLASSES = 64
#: Above this, all counts are divided by that of the newest request.
_LARGE = 1e100
#: How often counts double from one request to the next: more makes no difference, but overflows.
_MAX_DOUBLINGS = 100.0
NUMA_POLICIES = {
    GpuLocality.ANY_NODE: NumaPolicy.PREFERRED,
    GpuLocality.LOCAL_OR_UNKNOWN: NumaPolicy.LEGACY,
    GpuLocality.LOCAL: NumaPolicy.REQUIRED,
}


class Mix:
    """Classes with GPUs and how often each is requested; equal classes are merged.

    :param counts: number of servers of each class; only proportions matter
    :param half_life: number of further requests after which a request counts half; 0: requests are
        not learned. The initial counts are scaled to the sum that learning converges to.
    :param most: maximum number of classes
    """

    def __init__(
        self,
        counts: Mapping[RequestClass, float] | Iterable[tuple[RequestClass, float]] = (),
        half_life: float = 0.0,
        most: int = MAX_CLASSES,
    ) -> None:
        merged: dict[RequestClass, float] = {}
        for request_class, count in counts.items() if isinstance(counts, Mapping) else counts:
            if request_class.gpus > 0 and count > 0:
                merged[request_class] = merged.get(request_class, 0.0) + count
        kept = sorted(merged, key=lambda one: _importance(one, merged[one]), reverse=True)
        self._counts = {request_class: merged[request_class] for request_class in kept[:most]}
        self._most = most
        #: How much the newest request counts, and the factor by which the next one counts more.
        self._newest = 1.0
        self._growth = 2.0 ** min(1.0 / half_life, _MAX_DOUBLINGS) if half_life > 0 else 0.0
        if self._growth and self._counts:
            # In two steps, since the quotient of a very small sum would be 0.
            self._divide(max(self._counts.values()))
            memory = 1.0 / (1.0 - 1.0 / self._growth)
            self._divide(sum(self._counts.values()) / memory)

    @property
    def counts(self) -> Mapping[RequestClass, float]:
        """How much each class counts; only proportions matter."""
        return self._counts

    def learn(self, request_class: RequestClass) -> RequestClass | None:
        """Count a request; without a half-life, or without GPUs, do nothing.

        :returns: the class that was dropped to make room, if any
        """
        if not self._growth or request_class.gpus <= 0:
            return None
        dropped = None
        if request_class not in self._counts and len(self._counts) >= self._most:
            dropped = min(self._counts, key=lambda other: _importance(other, self._counts[other]))
            del self._counts[dropped]
        self._newest *= self._growth
        self._counts[request_class] = self._counts.get(request_class, 0.0) + self._newest
        if self._newest > _LARGE:
            self._divide(self._newest)
            self._newest = 1.0
        return dropped

    def _divide(self, divisor: float) -> None:
        for request_class in self._counts:
            self._counts[request_class] /= divisor


def load(path: Path) -> dict[RequestClass, float]:
    """Read the number of servers of each class from a mix file.

    :raises UserError: with file, line and key, if the file is invalid
    """
    rules = documents.schema(__package__, f"mix-v{VERSION}.json")
    document = documents.load(path, f"a mix file of version {VERSION}", rules)
    counts: dict[RequestClass, float] = {}
    for number, entry in enumerate(document["classes"]):
        request_class = read_class(entry, f"class {number + 1}")
        counts[request_class] = counts.get(request_class, 0.0) + float(entry["count"])
    return counts


def dump(counts: Mapping[RequestClass, float]) -> str:
    """Return the text of a mix file, the most frequent classes first."""
    classes = [_entry(one, counts[one]) for one in sorted(counts, key=counts.__getitem__)]
    return documents.dump({"schema": SCHEMA, "version": VERSION, "classes": classes[::-1]})


def _importance(request_class: RequestClass, count: float) -> float:
    return count * request_class.gpus**2


def read_class(entry: Mapping[str, Any], name: str) -> RequestClass:
    """Read a class from an entry of a mix file or a trace.

    :param name: the name of the class if the entry has none
    """
    cells = entry.get("numa_cells", 0)
    policy = NumaPolicy(entry.get("numa_policy", "legacy" if cells else "preferred"))
    return RequestClass(
        entry.get("name", name),
        entry["gpus"],
        entry.get("model"),
        entry.get("vcpus", 0),
        entry.get("pinned_cpus", 0),
        entry.get("ram_mib", 0),
        entry.get("disk_gib", 0),
        cells,
        gpu_locality(policy, cells, on_few_nodes=not cells and policy is NumaPolicy.REQUIRED),
        entry.get("linked", False),
    )


def _entry(request_class: RequestClass, count: float) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": request_class.name,
        "count": round(count) if math.isclose(count, round(count)) else count,
        "gpus": request_class.gpus,
        "model": request_class.model,
        "vcpus": request_class.vcpus,
        "pinned_cpus": request_class.pinned_cpus,
        "ram_mib": request_class.ram_mib,
        "disk_gib": request_class.disk_gib,
        "numa_cells": request_class.numa_cells,
        "numa_policy": None,
        "linked": request_class.linked,
    }
    if request_class.numa_cells or request_class.gpu_locality is not GpuLocality.ANY_NODE:
        entry["numa_policy"] = NUMA_POLICIES[request_class.gpu_locality].value
    return {key: value for key, value in entry.items() if value or key in ("name", "count")}
