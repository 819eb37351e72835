# SPDX-License-Identifier: Apache-2.0
"""What came of a run, and of several."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nova_gpu_passthrough.simulator.stranded import Cause


@dataclass(frozen=True)
class Waiting:
    """How long servers waited for a host, in a run with times; seconds."""

    mean: float
    #: 95 of 100 waited no longer.
    p95: float
    longest: float
    #: How many had to wait, and how many were never started.
    waited: int
    never: int


@dataclass(frozen=True)
class Outcome:
    """One run of a ranker with one seed.

    Drawn tasks: as it was when ``--requested`` was reached. With times: at the end, but for
    ``allocated_percent`` and ``unallocated_gpus``, which are the mean over time.
    """

    seed: int
    total_gpus: int
    allocated_percent: float
    unallocated_gpus: float
    #: Servers asked for, refused, and started.
    asked: int
    refused: int
    placed: int
    #: By number of GPUs.
    refused_by_size: Mapping[int, int] = field(default_factory=dict)
    stranded: Mapping[Cause, int] = field(default_factory=dict)
    #: Servers with several GPUs; those whose GPUs are on several NUMA nodes; those whose GPUs are
    #: not all linked.
    several_gpus: int = 0
    numa_split: int = 0
    link_split: int = 0
    #: % of GPUs allocated by % requested; of a run with times the seconds since its begin.
    course: Mapping[float, float] = field(default_factory=dict)
    waiting: Waiting | None = None


@dataclass(frozen=True)
class Summary:
    """Runs of one ranker with several seeds."""

    ranker: str
    outcomes: Sequence[Outcome]

    def of(self, value: Callable[[Outcome], float]) -> Sequence[float]:
        """One number of each run, in the order of seeds."""
        return [value(outcome) for outcome in self.outcomes]

    def mean(self, value: Callable[[Outcome], float]) -> float:
        """Its mean."""
        return statistics.fmean(self.of(value))

    def spread(self, value: Callable[[Outcome], float]) -> float:
        """Its standard deviation over seeds; 0 for one seed."""
        return statistics.stdev(self.of(value)) if len(self.outcomes) > 1 else 0.0
