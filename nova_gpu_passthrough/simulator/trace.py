# SPDX-License-Identifier: Apache-2.0
"""What is asked for: a list of tasks, with or without times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nova_gpu_passthrough.packing.request_class import RequestClass


class Task(NamedTuple):
    """A server that somebody asks for."""

    wanted: RequestClass
    #: How often it is drawn, beside the others.
    weight: float = 1.0
    #: When it is asked for, in seconds from any beginning; None: not told.
    arrival: float | None = None
    #: How long it runs, in seconds; None: for ever.
    duration: float | None = None


@dataclass(frozen=True)
class Trace:
    """Tasks in the order of their file."""

    tasks: Sequence[Task]
    #: Into how many parts a vCPU is divided.
    vcpu_parts: int = 1

    @property
    def has_times(self) -> bool:
        """Whether it is known of each task when it is asked for."""
        return bool(self.tasks) and all(task.arrival is not None for task in self.tasks)

    def mix(self) -> Mapping[RequestClass, float]:
        """How often each class is asked for."""
        counts: dict[RequestClass, float] = {}
        for task in self.tasks:
            counts[task.wanted] = counts.get(task.wanted, 0.0) + task.weight
        return counts
