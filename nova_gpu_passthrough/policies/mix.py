# SPDX-License-Identifier: Apache-2.0
"""The mix of requests: how often servers of which class are asked for.

It is configured by a file (YAML, checked against ``mix-v1.json`` in this folder), learned from the
requests that come in, or both. Only classes with GPUs are in it: the others strand no GPUs
themselves, and what they take shows in the states of hosts.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nova_gpu_passthrough.files import documents
from nova_gpu_passthrough.packing.request_class import Reach, RequestClass, reach
from nova_gpu_passthrough.topology.model import NumaPolicy

VERSION = 1
SCHEMA = "nova-gpu-passthrough/mix"
#: No more classes are looked at: each costs time on every host. Those with the most GPUs in large
#: servers stay.
MAX_CLASSES = 64
#: Above this, all counts are divided by the newest request's.
_LARGE = 1e100
_POLICY_OF = {
    Reach.ANYWHERE: NumaPolicy.PREFERRED,
    Reach.NOT_FAR: NumaPolicy.LEGACY,
    Reach.NEAR: NumaPolicy.REQUIRED,
}


class Mix:
    """Classes with GPUs and how often each is asked for; equal classes are one.

    :param counts: how many servers of each class; on any scale
    :param half_life: after how many further requests one counts half; 0: nothing is learned.
        Counts given at the beginning then are the memory of as many requests as it can hold.
    :param most: how many classes are kept
    """

    def __init__(
        self,
        counts: Mapping[RequestClass, float] | Iterable[tuple[RequestClass, float]] = (),
        half_life: float = 0.0,
        most: int = MAX_CLASSES,
    ) -> None:
        merged: dict[RequestClass, float] = {}
        for wanted, count in counts.items() if isinstance(counts, Mapping) else counts:
            if wanted.gpus > 0 and count > 0:
                merged[wanted] = merged.get(wanted, 0.0) + count
        kept = sorted(merged, key=lambda wanted: _importance(wanted, merged[wanted]), reverse=True)
        self._counts = {wanted: merged[wanted] for wanted in kept[:most]}
        self._most = most
        #: What the newest request counts, and by how much the next one counts more.
        self._newest = 1.0
        self._growth = 2.0 ** (1.0 / half_life) if half_life > 0 else 0.0
        if self._growth and self._counts:
            memory = 1.0 / (1.0 - 1.0 / self._growth)
            self._scale(memory / sum(self._counts.values()))

    @property
    def counts(self) -> Mapping[RequestClass, float]:
        """How much each class counts; only the proportions tell something."""
        return self._counts

    def note(self, wanted: RequestClass) -> RequestClass | None:
        """Learn from a request; without a half-life, or for one without GPUs, do nothing.

        :returns: the class that was dropped to make room, if any
        """
        if not self._growth or wanted.gpus <= 0:
            return None
        dropped = None
        if wanted not in self._counts and len(self._counts) >= self._most:
            dropped = min(self._counts, key=lambda other: _importance(other, self._counts[other]))
            del self._counts[dropped]
        self._newest *= self._growth
        self._counts[wanted] = self._counts.get(wanted, 0.0) + self._newest
        if self._newest > _LARGE:
            self._scale(1.0 / self._newest)
            self._newest = 1.0
        return dropped

    def _scale(self, factor: float) -> None:
        for wanted in self._counts:
            self._counts[wanted] *= factor


def load(path: Path) -> dict[RequestClass, float]:
    """Read how many servers of each class a mix file names.

    :raises UserError: with file, line and key, if it is none
    """
    rules = documents.schema(__package__, f"mix-v{VERSION}.json")
    document = documents.load(path, f"a mix file of version {VERSION}", rules)
    counts: dict[RequestClass, float] = {}
    for number, entry in enumerate(document["classes"]):
        wanted = read_class(entry, f"class {number + 1}")
        counts[wanted] = counts.get(wanted, 0.0) + float(entry["count"])
    return counts


def dump(counts: Mapping[RequestClass, float]) -> str:
    """The text of a mix file, the most frequent classes first."""
    classes = [_entry(wanted, counts[wanted]) for wanted in sorted(counts, key=counts.__getitem__)]
    return documents.dump({"schema": SCHEMA, "version": VERSION, "classes": classes[::-1]})


def _importance(wanted: RequestClass, count: float) -> float:
    return count * wanted.gpus**2


def read_class(entry: Mapping[str, Any], name: str) -> RequestClass:
    """A class as mixes and traces write it.

    :param name: its name where the entry has none
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
        reach(policy, cells, on_few_nodes=not cells and policy is NumaPolicy.REQUIRED),
        entry.get("linked", False),
    )


def _entry(wanted: RequestClass, count: float) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": wanted.name,
        "count": round(count) if math.isclose(count, round(count)) else count,
        "gpus": wanted.gpus,
        "model": wanted.model,
        "vcpus": wanted.vcpus,
        "pinned_cpus": wanted.pinned_cpus,
        "ram_mib": wanted.ram_mib,
        "disk_gib": wanted.disk_gib,
        "numa_cells": wanted.numa_cells,
        "numa_policy": None,
        "linked": wanted.linked,
    }
    if wanted.numa_cells or wanted.reach is not Reach.ANYWHERE:
        entry["numa_policy"] = _POLICY_OF[wanted.reach].value
    return {key: value for key, value in entry.items() if value or key in ("name", "count")}
