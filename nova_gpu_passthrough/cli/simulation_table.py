# SPDX-License-Identifier: Apache-2.0
"""The tables of ``simulate``, for people and for programs."""

import dataclasses
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cli.listing import FlatColumn, with_commas

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.fill_replay import FillOutcome
    from nova_gpu_passthrough.simulator.outcome import Outcome, Summary

_Table = tuple[Sequence[str], Iterable[tuple[Any, ...]]]
#: The columns that people see only with --long.
LONG_COLUMNS = (
    "Refused by GPUs",
    "Stranded",
    "NUMA Split",
    "Not Linked",
    "Requested",
    "Placed",
    "Several GPUs",
    "95 % Wait s",
    "Longest Wait s",
    "Waited",
    "Never Started",
    "Course",
    "Total GPUs",
    "Seeds",
    "Before Refusal",
)
#: Decimal places of floats; more would be noise.
_DECIMALS = 6


class SeedsColumn(FlatColumn):
    """A value of each seed: mean and standard deviation for people, all values for programs."""

    def human_readable(self) -> str:
        """Return a text such as 98.31, or with several seeds 98.31 ± 0.12."""
        mean, spread = self.mean, self.spread
        if len(self._value) == 1:
            return f"{mean:.2f}".removesuffix(".00")
        return f"{mean:.2f} ± {spread:.2f}"

    def machine_readable(self) -> Any:
        """Return the mean, the standard deviation over the seeds, and the values."""
        return {
            "mean": self.mean,
            "spread": self.spread,
            "per_seed": [_rounded(value) for value in self._value],
        }

    def flat(self) -> float:
        """Return the mean."""
        return self.mean

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return _rounded(statistics.fmean(self._value))

    @property
    def spread(self) -> float:
        """The standard deviation over the seeds; 0 for one seed."""
        return _rounded(statistics.stdev(self._value)) if len(self._value) > 1 else 0.0


class SeedsByKeyColumn(FlatColumn):
    """A value of each seed, by key."""

    def human_readable(self) -> str:
        """Return the means as a text such as "1: 0.5, 8: 3"."""
        return " ".join(self.words())

    def flat(self) -> str:
        """Return the means as a text such as "1=0.5,8=3"."""
        return ",".join(f"{key}={mean:.4g}" for key, mean in self._means().items())

    def words(self) -> Sequence[str]:
        """Return the parts between which a line may break."""
        return with_commas(f"{key}: {mean:.4g}" for key, mean in self._means().items())

    def _means(self) -> Mapping[str, float]:
        """Return the means that are not 0."""
        means = {key: SeedsColumn(value).mean for key, value in self._value.items()}
        return {key: mean for key, mean in means.items() if mean}

    def machine_readable(self) -> Any:
        """Return mean, standard deviation and values of each key."""
        return {key: SeedsColumn(value).machine_readable() for key, value in self._value.items()}


def summary_table(summaries: Sequence["Summary"], course: bool) -> _Table:
    """Return a table with a row for each ranker."""
    if course:
        marks = list(summaries[0].outcomes[0].course)
        return ("Ranker", *(f"At {mark:g}" for mark in marks)), [
            (summary.ranker, *(SeedsColumn(_at(summary, mark)) for mark in marks))
            for summary in summaries
        ]
    columns: dict[str, Callable[[Summary], Any]] = {
        "Ranker": lambda summary: summary.ranker,
        "Allocated %": lambda summary: SeedsColumn(summary.of(lambda o: o.allocated_percent)),
        "Unallocated GPUs": lambda summary: SeedsColumn(summary.of(lambda o: o.unallocated_gpus)),
        "Refused": lambda summary: SeedsColumn(summary.of(lambda o: float(o.refused))),
    }
    if summaries[0].outcomes[0].waiting:
        columns["Mean Wait s"] = lambda s: SeedsColumn(s.of(lambda o: _wait(o)["mean"]))
        columns["95 % Wait s"] = lambda s: SeedsColumn(s.of(lambda o: _wait(o)["p95"]))
        columns["Longest Wait s"] = lambda s: SeedsColumn(s.of(lambda o: _wait(o)["longest"]))
        columns["Waited"] = lambda s: SeedsColumn(s.of(lambda o: _wait(o)["waited"]))
        columns["Never Started"] = lambda s: SeedsColumn(s.of(lambda o: _wait(o)["never"]))
    columns |= {
        "Refused by GPUs": lambda s: SeedsByKeyColumn(_by_key(s, lambda o: o.refused_by_size)),
        "Stranded": lambda s: SeedsByKeyColumn(_by_key(s, lambda o: o.stranded)),
        "NUMA Split": lambda summary: SeedsColumn(summary.of(lambda o: float(o.numa_split))),
        "Not Linked": lambda summary: SeedsColumn(summary.of(lambda o: float(o.link_split))),
        "Several GPUs": lambda summary: SeedsColumn(summary.of(lambda o: float(o.several_gpus))),
        "Requested": lambda summary: SeedsColumn(summary.of(lambda o: float(o.requested))),
        "Placed": lambda summary: SeedsColumn(summary.of(lambda o: float(o.placed))),
        "Course": lambda s: SeedsByKeyColumn(_by_key(s, lambda o: o.course)),
        "Total GPUs": lambda summary: summary.outcomes[0].total_gpus,
        "Seeds": lambda summary: len(summary.outcomes),
    }
    return list(columns), [
        tuple(cell(summary) for cell in columns.values()) for summary in summaries
    ]


def filling_table(outcomes: Mapping[str, Mapping[str, Sequence["FillOutcome"]]]) -> _Table:
    """Return a table with a row for each ranker and fleet."""
    columns = ("Ranker", "Fleet", "Servers", "Allocated %", "First Refused", "Before Refusal")
    names = dict.fromkeys(name for by_ranker in outcomes.values() for name in by_ranker)
    return columns, [
        tuple(_filling_row(name, fleet, by_ranker[name]))
        for name in names
        for fleet, by_ranker in outcomes.items()
    ]


class _FrequencyColumn(FlatColumn):
    """Names and how often each occurs: the most frequent for people, all for programs."""

    def human_readable(self) -> str:
        """Return the name, or the three most frequent names with their numbers."""
        return " ".join(self.words())

    def machine_readable(self) -> Any:
        """Return the mapping."""
        return dict(self._value)

    def flat(self) -> str:
        """Return a text such as "gpu.8=7,gpu.4=3"."""
        return ",".join(f"{name}={count}" for name, count in self._value.items())

    def words(self) -> Sequence[str]:
        """Return the parts between which a line may break."""
        order = sorted(self._value.items(), key=lambda item: -item[1])
        if len(order) == 1:
            return [order[0][0]]
        return with_commas(f"{name} ({count})" for name, count in order[:3])


def _filling_row(name: str, fleet: str, fillings: Sequence["FillOutcome"]) -> Iterable[Any]:
    starved = Counter(one.starved or "none" for one in fillings)
    flavors = dict.fromkeys(flavor for one in fillings for flavor in one.before_refusal)
    before = {
        flavor: [
            float(one.before_refusal[flavor]) for one in fillings if flavor in one.before_refusal
        ]
        for flavor in sorted(flavors)
    }
    yield name
    yield fleet
    yield SeedsColumn([float(one.servers) for one in fillings])
    yield SeedsColumn([one.allocated_percent for one in fillings])
    yield _FrequencyColumn(starved)
    yield _LowestMeansColumn(before)


class _LowestMeansColumn(SeedsByKeyColumn):
    """A value of each seed, by key: the smallest means for people, all keys for programs."""

    _most = 8

    def words(self) -> Sequence[str]:
        """Return the eight smallest means, between which a line may break."""
        means = {key: SeedsColumn(value).mean for key, value in self._value.items()}
        order = sorted(means, key=means.__getitem__)
        more = [f"and {len(order) - self._most} more"] if len(order) > self._most else []
        return with_commas([*(f"{key}: {means[key]:.4g}" for key in order[: self._most]), *more])


def _by_key(
    summary: "Summary", values: Callable[["Outcome"], Mapping[Any, float]]
) -> dict[str, list[float]]:
    by_outcome = [values(outcome) for outcome in summary.outcomes]
    keys = sorted({key for mapping in by_outcome for key in mapping})
    return {
        f"{key:g}" if isinstance(key, float) else str(key): [
            mapping.get(key, 0) for mapping in by_outcome
        ]
        for key in keys
    }


def _at(summary: "Summary", mark: float) -> Sequence[float]:
    return summary.of(lambda outcome: outcome.course.get(mark, 0.0))


def _wait(outcome: "Outcome") -> Mapping[str, float]:
    return dataclasses.asdict(outcome.waiting) if outcome.waiting else {}


def _rounded(value: float) -> float:
    return round(value, _DECIMALS) if isinstance(value, float) else value
