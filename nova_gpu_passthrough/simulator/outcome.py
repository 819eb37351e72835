# SPDX-License-Identifier: Apache-2.0
"""Results of one replay, and of the replays of one ranker."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from nova_gpu_passthrough.simulator.stranded_causes import StrandedCause

_T = TypeVar("_T")


@dataclass(frozen=True)
class WaitTimes:
    """How long servers waited for a host in a replay with times, in seconds."""

    mean: float
    #: The 95th percentile.
    p95: float
    longest: float
    #: Number of servers that had to wait, and of those that were never started.
    waited: int
    never: int


@dataclass(frozen=True)
class Outcome:
    """Result of one replay of a ranker with one seed.

    For drawn tasks: the values when ``--requested`` was reached. With times: the values at the end,
    except that ``allocated_percent`` and ``unallocated_gpus`` are means over time.
    """

    seed: int
    total_gpus: int
    allocated_percent: float
    unallocated_gpus: float
    #: Number of requested, refused and started servers.
    requested: int
    refused: int
    placed: int
    #: Refused servers by their number of GPUs.
    refused_by_size: Mapping[int, int] = field(default_factory=dict)
    #: Number of stranded GPUs by cause.
    stranded: Mapping[StrandedCause, int] = field(default_factory=dict)
    #: Number of servers with several GPUs, of those with GPUs on several NUMA nodes, and of those
    #: whose GPUs are not all linked.
    several_gpus: int = 0
    numa_split: int = 0
    link_split: int = 0
    #: % of GPUs allocated, by % requested; in a replay with times by seconds since its beginning.
    course: Mapping[float, float] = field(default_factory=dict)
    waiting: WaitTimes | None = None


@dataclass(frozen=True)
class Summary:
    """Replays of one ranker with several seeds."""

    ranker: str
    outcomes: Sequence[Outcome]

    def of(self, value: Callable[[Outcome], _T]) -> Sequence[_T]:
        """Return a value of each replay, in the order of seeds."""
        return [value(outcome) for outcome in self.outcomes]

    def mean(self, value: Callable[[Outcome], float]) -> float:
        """Return the mean of a value."""
        return statistics.fmean(self.of(value))
