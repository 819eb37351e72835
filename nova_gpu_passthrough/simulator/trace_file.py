# SPDX-License-Identifier: Apache-2.0
"""Traces in YAML, checked against ``trace-v1.json`` in this folder, and mixes as traces."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import documents
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies import mix
from nova_gpu_passthrough.simulator.trace import Task, Trace

VERSION = 1


def load(path: Path) -> Trace:
    """Read a trace.

    :raises UserError: with file, line and key, if it is none
    """
    rules = documents.schema(__package__, f"trace-v{VERSION}.json")
    document = documents.load(path, f"a trace of version {VERSION}", rules)
    entries = document["tasks"]
    timed = "arrival" in entries[0]
    tasks: list[Task] = []
    for number, entry in enumerate(entries):
        if ("arrival" in entry) is not timed:
            raise UserError(
                f"{documents.place(path, ('tasks', number))}: some tasks have the key arrival and "
                "some do not; give it to all or to none"
            )
        tasks += _tasks(path, number, entry)
    return Trace(tasks)


def of_mix(counts: Mapping[RequestClass, float]) -> Trace:
    """A mix of requests as a trace without times."""
    return Trace([Task(wanted, count) for wanted, count in counts.items()])


def _tasks(path: Path, number: int, entry: Mapping[str, Any]) -> Iterator[Task]:
    wanted = mix.read_class(entry, f"task {number + 1}")
    count = entry.get("count", 1)
    if "arrival" not in entry:
        yield Task(wanted, float(count))
        return
    if count != int(count):
        raise UserError(
            f"{documents.place(path, ('tasks', number, 'count'))}: {count}, expected a whole "
            "number, since the task has an arrival"
        )
    for _ in range(int(count)):
        yield Task(wanted, 1.0, float(entry["arrival"]), entry.get("duration"))
