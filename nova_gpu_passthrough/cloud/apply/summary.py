# SPDX-License-Identifier: Apache-2.0
"""Describe a plan and its outcome in a few lines."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.apply.change import Action, Change, ResourceKind, SkippedChange
from nova_gpu_passthrough.cloud.apply.plan import Plan


@dataclass(frozen=True)
class ChangeCounts:
    """The number of objects that changes add, change and delete.

    An object that is deleted and created again with the same id counts as changed.
    """

    add: int = 0
    change: int = 0
    delete: int = 0

    @classmethod
    def of(cls, changes: Iterable[Change]) -> "ChangeCounts":
        """Count the objects; one that changes in several steps counts once."""
        actions = {(change.kind, change.name): change.action for change in changes}
        counts = [*actions.values()]
        added, deleted = (counts.count(action) for action in (Action.CREATE, Action.DELETE))
        return cls(added, len(counts) - added - deleted, deleted)

    def __str__(self) -> str:
        """What was done: ``9 added, 1 changed, 0 deleted``."""
        return f"{self.add} added, {self.change} changed, {self.delete} deleted"

    @property
    def planned(self) -> str:
        """What will be done: ``9 to add, 1 to change, 0 to delete``."""
        return f"{self.add} to add, {self.change} to change, {self.delete} to delete"


def plan_lines(plan: Plan) -> Iterator[str]:
    """Describe what a plan changes, what it skips, and why."""
    if plan.changes:
        text = f"Plan: {ChangeCounts.of(plan.changes).planned}"
    elif plan.held:
        text = "nothing to do now"
    else:
        text = f"the cloud matches fleet {plan.desired.fleet}: nothing to change"
    if plan.held:
        yield from _with_reasons(f"{text}; {_number(plan.held, 'change')} skipped", plan.held)
    else:
        yield text
    if plan.foreign:
        text = f"{_number(plan.foreign, 'object')} left alone"
        yield from _with_reasons(text, plan.foreign)


def outcome_line(done: Iterable[Change], refused: int, plan: Plan) -> str:
    """Describe what was done of a plan.

    :param refused: the number of changes that a service refused
    """
    parts = [f"Applied: {ChangeCounts.of(done)}"]
    parts += [f"{refused} refused"] if refused else []
    parts += [f"{_number(plan.held, 'change')} skipped"] if plan.held else []
    return "; ".join(parts)


def reasons(skipped: Iterable[SkippedChange]) -> Iterator[str]:
    """Yield each reason once, with all objects that it applies to."""
    names: dict[tuple[ResourceKind, str], list[str]] = {}
    for change in skipped:
        names.setdefault((change.kind, change.reason), []).append(change.name)
    for (kind, reason), found in names.items():
        subjects = list(dict.fromkeys(found))
        title = kind.plural if len(subjects) > 1 else str(kind)
        yield f"{title} {', '.join(subjects)}: {reason}"


def _with_reasons(text: str, skipped: Iterable[SkippedChange]) -> Iterator[str]:
    """Yield a text with a reason in the same line, or several of them below it."""
    lines = list(reasons(skipped))
    if len(lines) == 1:
        yield f"{text}: {lines[0]}"
    else:
        yield f"{text}:"
        yield from (f"  {line}" for line in lines)


def _number(items: Iterable[object], noun: str) -> str:
    count = len(list(items))
    return f"{count} {noun}{'' if count == 1 else 's'}"
