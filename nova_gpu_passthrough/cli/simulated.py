# SPDX-License-Identifier: Apache-2.0
"""Tables of ``simulate``, for people and for programs."""

import dataclasses
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cliff.columns import FormattableColumn

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.outcome import Outcome, Summary
    from nova_gpu_passthrough.simulator.what_if import Filling

_Table = tuple[Sequence[str], Iterable[tuple[Any, ...]]]
#: Formats that hold values within values.
_DEEP = frozenset(("json", "yaml"))
#: Floats are told to so many digits: beyond, they are noise.
_DIGITS = 6


class Measured(FormattableColumn[Sequence[float]]):
    """A number of each seed: mean and spread for people, all of it for programs."""

    def human_readable(self) -> str:
        """Such as 98.31, or with several seeds 98.31 ± 0.12."""
        mean, spread = self.mean, self.spread
        if len(self._value) == 1:
            return f"{mean:.2f}".removesuffix(".00")
        return f"{mean:.2f} ± {spread:.2f}"

    def machine_readable(self) -> Any:
        """Mean, standard deviation over seeds, and the numbers themselves."""
        return {
            "mean": self.mean,
            "spread": self.spread,
            "per_seed": [_rounded(value) for value in self._value],
        }

    @property
    def mean(self) -> float:
        """The mean."""
        return _rounded(statistics.fmean(self._value))

    @property
    def spread(self) -> float:
        """The standard deviation; 0 for one number."""
        return _rounded(statistics.stdev(self._value)) if len(self._value) > 1 else 0.0


class MeasuredByKey(FormattableColumn[Mapping[str, Sequence[float]]]):
    """Such numbers by key."""

    def human_readable(self) -> str:
        """The means of those that are not 0."""
        means = {key: Measured(value).mean for key, value in self._value.items()}
        return ", ".join(f"{key}: {mean:.4g}" for key, mean in means.items() if mean)

    def machine_readable(self) -> Any:
        """All of it."""
        return {key: Measured(value).machine_readable() for key, value in self._value.items()}


def summary_table(summaries: Sequence["Summary"], formatter: str, course: bool) -> _Table:
    """One row for each ranker."""
    if formatter in _DEEP:
        rows = [_deep(summary) for summary in summaries]
        return list(rows[0]), [tuple(row.values()) for row in rows]
    if course:
        marks = list(summaries[0].outcomes[0].course)
        return ("Ranker", *(f"At {mark:g}" for mark in marks)), [
            (
                summary.ranker,
                *(_flat(Measured(_at(summary, mark)), formatter) for mark in marks),
            )
            for summary in summaries
        ]
    columns: dict[str, Callable[[Summary], Any]] = {
        "Ranker": lambda summary: summary.ranker,
        "Allocated %": lambda summary: Measured(summary.of(lambda o: o.allocated_percent)),
        "Unallocated GPUs": lambda summary: Measured(summary.of(lambda o: o.unallocated_gpus)),
        "Refused": lambda summary: Measured(summary.of(lambda o: float(o.refused))),
        "Refused by GPUs": lambda s: MeasuredByKey(_by_key(s, lambda o: o.refused_by_size)),
        "Stranded": lambda s: MeasuredByKey(_by_key(s, lambda o: o.stranded)),
        "NUMA Split": lambda summary: Measured(summary.of(lambda o: float(o.numa_split))),
        "Not Linked": lambda summary: Measured(summary.of(lambda o: float(o.link_split))),
    }
    if summaries[0].outcomes[0].waiting:
        columns["Mean Wait s"] = lambda s: Measured(s.of(lambda o: _wait(o)["mean"]))
        columns["95 % Wait s"] = lambda s: Measured(s.of(lambda o: _wait(o)["p95"]))
        columns["Longest Wait s"] = lambda s: Measured(s.of(lambda o: _wait(o)["longest"]))
    return list(columns), [
        tuple(_flat(cell(summary), formatter) for cell in columns.values()) for summary in summaries
    ]


def filling_table(found: Mapping[str, Mapping[str, Sequence["Filling"]]], formatter: str) -> _Table:
    """One row for each ranker and fleet."""
    columns = ("Ranker", "Fleet", "Servers", "Allocated %", "Starves First", "Before Refusal")
    if formatter in _DEEP:
        columns = ("ranker", "fleet", "servers", "allocated_percent", "starved", "before_refusal")
    names = dict.fromkeys(name for by_ranker in found.values() for name in by_ranker)
    return columns, [
        tuple(_flat(cell, formatter) for cell in _filled(name, fleet, by_ranker[name]))
        for name in names
        for fleet, by_ranker in found.items()
    ]


class _Counted(FormattableColumn[Mapping[str, int]]):
    """How often what: for people the most frequent first."""

    def human_readable(self) -> str:
        """With how often, if there are several."""
        order = sorted(self._value.items(), key=lambda item: -item[1])
        if len(order) == 1:
            return order[0][0]
        return ", ".join(f"{name} ({count})" for name, count in order[:3])

    def machine_readable(self) -> Any:
        """All of it."""
        return dict(self._value)


def _filled(name: str, fleet: str, fillings: Sequence["Filling"]) -> Iterable[Any]:
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
    yield Measured([float(one.servers) for one in fillings])
    yield Measured([one.allocated_percent for one in fillings])
    yield _Counted(starved)
    yield _Few(before)


class _Few(MeasuredByKey):
    """Of many keys, those with the smallest means."""

    _most = 8

    def human_readable(self) -> str:
        """As many as can be read."""
        means = {key: Measured(value).mean for key, value in self._value.items()}
        order = sorted(means, key=means.__getitem__)
        more = f", and {len(order) - self._most} more" if len(order) > self._most else ""
        return ", ".join(f"{key}: {means[key]:.4g}" for key in order[: self._most]) + more


def _deep(summary: "Summary") -> dict[str, Any]:
    """All that there is, in the words of programs."""
    row: dict[str, Any] = {
        "ranker": summary.ranker,
        "allocated_percent": Measured(summary.of(lambda one: one.allocated_percent)),
        "unallocated_gpus": Measured(summary.of(lambda one: one.unallocated_gpus)),
        "refused": Measured(summary.of(lambda one: one.refused)),
        "asked": Measured(summary.of(lambda one: one.asked)),
        "placed": Measured(summary.of(lambda one: one.placed)),
        "refused_by_gpus": MeasuredByKey(_by_key(summary, lambda one: one.refused_by_size)),
        "stranded": MeasuredByKey(_by_key(summary, lambda one: one.stranded)),
        "several_gpus": Measured(summary.of(lambda one: one.several_gpus)),
        "numa_split": Measured(summary.of(lambda one: one.numa_split)),
        "not_linked": Measured(summary.of(lambda one: one.link_split)),
        "course": MeasuredByKey(_by_key(summary, lambda one: one.course)),
        "total_gpus": summary.outcomes[0].total_gpus,
        "seeds": [one.seed for one in summary.outcomes],
    }
    if summary.outcomes[0].waiting:
        row["waiting_seconds"] = MeasuredByKey(_by_key(summary, _wait))
    return row


def _by_key(
    summary: "Summary", values: Callable[["Outcome"], Mapping[Any, float]]
) -> dict[str, list[float]]:
    found = [values(outcome) for outcome in summary.outcomes]
    keys = sorted({key for one in found for key in one})
    return {
        f"{key:g}" if isinstance(key, float) else str(key): [one.get(key, 0) for one in found]
        for key in keys
    }


def _at(summary: "Summary", mark: float) -> Sequence[float]:
    return summary.of(lambda outcome: outcome.course.get(mark, 0.0))


def _wait(outcome: "Outcome") -> Mapping[str, float]:
    return dataclasses.asdict(outcome.waiting) if outcome.waiting else {}


def _flat(cell: Any, formatter: str) -> Any:
    """Means only, where a cell is one word."""
    if formatter in ("csv", "value"):
        if isinstance(cell, Measured):
            return cell.mean
        if isinstance(cell, FormattableColumn):
            return cell.human_readable()
    return cell


def _rounded(value: float) -> float:
    return round(value, _DIGITS) if isinstance(value, float) else value
