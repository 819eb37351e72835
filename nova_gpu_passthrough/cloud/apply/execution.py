# SPDX-License-Identifier: Apache-2.0
"""Make the changes of a plan, one after the other.

If a run stops early, the record says which objects were created, and the next run resumes.
"""

import contextlib
import dataclasses
import enum
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import FrameType

from nova_gpu_passthrough.cloud import failures
from nova_gpu_passthrough.cloud.apply import aggregates, flavors, quotas, unified_limits
from nova_gpu_passthrough.cloud.apply.change import Change, ResourceKind
from nova_gpu_passthrough.cloud.apply.placement_names import RESOURCE_CLASSES, TRAITS
from nova_gpu_passthrough.cloud.apply.plan import Plan
from nova_gpu_passthrough.cloud.apply.record import Ledger
from nova_gpu_passthrough.cloud.apply.writer import (
    MAX_ATTEMPTS,
    CloudWriter,
    Interrupted,
    RequestRefused,
)
from nova_gpu_passthrough.errors import InterruptedCommandError, UserError

_PERFORM: dict[ResourceKind, Callable[[CloudWriter, Ledger, Change], None]] = {
    ResourceKind.TRAIT: TRAITS.perform,
    ResourceKind.RESOURCE_CLASS: RESOURCE_CLASSES.perform,
    ResourceKind.AGGREGATE: aggregates.perform,
    ResourceKind.FLAVOR: flavors.perform,
    ResourceKind.REGISTERED_LIMIT: unified_limits.perform,
    ResourceKind.PROJECT_LIMIT: unified_limits.perform,
    ResourceKind.DEFAULT_QUOTA: quotas.perform,
    ResourceKind.PROJECT_QUOTA: quotas.perform,
}
#: A callback that receives how many changes were tried, and how many there are.
ChangeProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class RefusedChange:
    """A change that a service refused."""

    change: Change
    #: The whole sentence.
    reason: str


class ChangeResult(enum.StrEnum):
    """What became of a change."""

    DONE = "done"
    REFUSED = "refused"
    #: The run ended before.
    NOT_DONE = "not_done"


@dataclass
class RunOutcome:
    """What was done of a plan so far; the keys are numbers of its changes."""

    results: dict[int, ChangeResult] = field(default_factory=dict)
    #: Why changes were refused.
    reasons: dict[int, str] = field(default_factory=dict)

    def done(self, plan: Plan) -> tuple[Change, ...]:
        """Return the changes that were made."""
        return tuple(plan.changes[n] for n, r in self.results.items() if r is ChangeResult.DONE)

    def text(self, plan: Plan) -> str:
        """Describe a run that ended early."""
        done = len(self.done(plan))
        return f"{done} of {len(plan.changes)} changes done; run it again to go on"


def run(
    api: CloudWriter,
    plan: Plan,
    ledger: Ledger,
    progress: ChangeProgress = lambda *_: None,
    outcome: RunOutcome | None = None,
) -> list[RefusedChange]:
    """Make all changes of a plan that the services accept.

    :param outcome: gets what was done, also if the run ends early
    :returns: the changes that were refused; a refusal does not stop the others
    :raises UserError: if the run was interrupted, or a service became unavailable: says how many
        changes were made
    """
    api.attempts = MAX_ATTEMPTS
    changes, refused = plan.changes, list[RefusedChange]()
    outcome = RunOutcome() if outcome is None else outcome
    with _interruptible(api.stop):
        record = dataclasses.replace(ledger.record, desired=plan.desired, entries=plan.entries)
        ledger.replace(dataclasses.replace(record, complete=record.complete and not changes))
        for index, change in enumerate(changes):
            progress(index, len(changes))
            try:
                _PERFORM[change.kind](api, ledger, change)
                outcome.results[index] = ChangeResult.DONE
            except RequestRefused as refusal:
                reason = failures.error_text(refusal.error, "admin", api.connection)
                outcome.results[index] = ChangeResult.REFUSED
                outcome.reasons[index] = str(reason)
                refused.append(RefusedChange(change, f"{change.kind} {change.name}: {reason}"))
            except Interrupted:
                raise InterruptedCommandError(f"interrupted: {outcome.text(plan)}") from None
            except UserError as error:
                raise UserError(f"{error}; {outcome.text(plan)}") from error
            except Exception as error:
                reason = failures.error_text(error, "admin", api.connection)
                if reason is None:
                    raise
                raise UserError(f"{reason}; {outcome.text(plan)}") from error
        progress(len(changes), len(changes))
    if changes or not (ledger.record.complete and ledger.record.applied_at):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        ledger.replace(dataclasses.replace(ledger.record, complete=not refused, applied_at=now))
    return refused


@contextlib.contextmanager
def _interruptible(stop: threading.Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM set an event, so that the current request completes first.

    A second signal does not wait for it.
    """

    def handle(signal_number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    old_handlers = {}
    # Python allows signal handlers only in the main thread.
    if threading.current_thread() is threading.main_thread():
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            old_handlers[signal_number] = signal.signal(signal_number, handle)
    try:
        yield
    finally:
        for signal_number, handler in old_handlers.items():
            signal.signal(signal_number, handler)
