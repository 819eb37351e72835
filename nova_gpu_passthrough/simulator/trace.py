# SPDX-License-Identifier: Apache-2.0
"""Traces: lists of requested servers, with or without times.

They are read from YAML, checked against ``trace-v1.json`` in this folder, or made from a mix.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import documents
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies import mix

VERSION = 1


class Task(NamedTuple):
    """A requested server."""

    request_class: RequestClass
    #: How often it is drawn, relative to the other tasks.
    weight: float = 1.0
    #: Time of the request, in seconds from any beginning; None: not known.
    arrival: float | None = None
    #: How long it runs, in seconds; None: forever.
    duration: float | None = None


@dataclass(frozen=True)
class Trace:
    """Tasks in the order of their file."""

    tasks: Sequence[Task]
    #: Number of units in which a vCPU is counted (openb: 1000).
    units_per_vcpu: int = 1

    @property
    def has_times(self) -> bool:
        """Whether the time of every task is known."""
        return bool(self.tasks) and all(task.arrival is not None for task in self.tasks)

    def mix(self) -> Mapping[RequestClass, float]:
        """Return how often each class is requested."""
        counts: dict[RequestClass, float] = {}
        for task in self.tasks:
            counts[task.request_class] = counts.get(task.request_class, 0.0) + task.weight
        return counts


def load(path: Path) -> Trace:
    """Read a trace in YAML.

    :raises UserError: with file, line and key, if the file is invalid
    """
    rules = documents.schema(__package__, f"trace-v{VERSION}.json")
    document = documents.load(path, f"a trace of version {VERSION}", rules, is_long=True)
    entries = document["tasks"]
    timed = "arrival" in entries[0]
    tasks: list[Task] = []
    for number, entry in enumerate(entries):
        if ("arrival" in entry) is not timed:
            raise UserError(
                f"{documents.location(path, ('tasks', number))}: some tasks have the key arrival "
                "and some do not; give it to all or to none"
            )
        tasks += _tasks(path, number, entry)
    return Trace(tasks)


def of_mix(counts: Mapping[RequestClass, float]) -> Trace:
    """Return a mix of requests as a trace without times."""
    return Trace([Task(request_class, count) for request_class, count in counts.items()])


def _tasks(path: Path, number: int, entry: Mapping[str, Any]) -> Iterator[Task]:
    request_class = mix.read_class(entry, f"task {number + 1}")
    count = entry.get("count", 1)
    if "arrival" not in entry:
        yield Task(request_class, float(count))
        return
    if count != int(count):
        raise UserError(
            f"{documents.location(path, ('tasks', number, 'count'))}: {count}, expected a whole "
            "number, since the task has an arrival"
        )
    for _ in range(int(count)):
        yield Task(request_class, 1.0, float(entry["arrival"]), entry.get("duration"))
