# SPDX-License-Identifier: Apache-2.0
"""A plan and its outcome as plain data, for programs: ``plan-v1.json`` in this folder."""

from collections.abc import Iterable, Iterator
from typing import Any

from nova_gpu_passthrough.cloud.apply.change import Change, Document, SkippedChange
from nova_gpu_passthrough.cloud.apply.execution import ChangeResult, RunOutcome
from nova_gpu_passthrough.cloud.apply.plan import Plan
from nova_gpu_passthrough.cloud.apply.summary import ChangeCounts

SCHEMA = "nova-gpu-passthrough/plan"
VERSION = 1


def make(plan: Plan, notes: Iterable[str], outcome: RunOutcome | None = None) -> dict[str, Any]:
    """Return a plan as plain data.

    :param notes: remarks for the operator
    :param outcome: what was done of the plan; None: nothing, it was only planned
    """
    counts = ChangeCounts.of(plan.changes)
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "fleet": plan.desired.fleet,
        "summary": {
            "add": counts.add,
            "change": counts.change,
            "delete": counts.delete,
            "skipped": len(plan.held),
            "left_alone": len(plan.foreign),
        },
        "changes": [
            *_planned(plan, outcome),
            *(_skipped(change, "skipped") for change in plan.held),
            *(_skipped(change, "left_alone") for change in plan.foreign),
        ],
        "notes": list(notes),
    }


def _planned(plan: Plan, outcome: RunOutcome | None) -> Iterator[dict[str, Any]]:
    for number, change in enumerate(plan.changes):
        result, reason = "planned", None
        if outcome is not None:
            result = str(outcome.results.get(number, ChangeResult.NOT_DONE))
            reason = outcome.reasons.get(number)
        yield {**_properties(change), "result": result, "reason": reason}


def _properties(change: Change) -> dict[str, Any]:
    return {
        "action": str(change.action),
        "kind": str(change.kind),
        "name": change.name,
        "before": _plain(change.before),
        "after": _plain(change.after),
    }


def _skipped(skipped: SkippedChange, result: str) -> dict[str, Any]:
    """Return a skipped change; action, before and after are null if they are not known."""
    unknown = {"action": None, "kind": str(skipped.kind), "name": skipped.name}
    unknown |= {"before": None, "after": None}
    properties = unknown if skipped.change is None else _properties(skipped.change)
    return {**properties, "result": result, "reason": skipped.reason}


def _plain(document: Document | None) -> dict[str, Any] | None:
    return None if document is None else dict(document)
