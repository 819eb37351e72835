# SPDX-License-Identifier: Apache-2.0
"""Makes the changes of a plan, one after the other.

Whatever stops it, the record tells what was made, and a second run goes on from there.
"""

import contextlib
import dataclasses
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType

from nova_gpu_passthrough.cloud import failures
from nova_gpu_passthrough.cloud.apply.aggregates import requests as aggregates
from nova_gpu_passthrough.cloud.apply.api import PATIENCE, Api, Interrupted, Refused
from nova_gpu_passthrough.cloud.apply.change import Change, Kind, Plan
from nova_gpu_passthrough.cloud.apply.flavors import requests as flavors
from nova_gpu_passthrough.cloud.apply.limits import quotas
from nova_gpu_passthrough.cloud.apply.limits import unified as limits
from nova_gpu_passthrough.cloud.apply.placement_names import RESOURCE_CLASSES, TRAITS
from nova_gpu_passthrough.cloud.apply.record import Ledger
from nova_gpu_passthrough.errors import UserError

_PERFORM: dict[Kind, Callable[[Api, Ledger, Change], None]] = {
    Kind.TRAIT: TRAITS.perform,
    Kind.RESOURCE_CLASS: RESOURCE_CLASSES.perform,
    Kind.AGGREGATE: aggregates.perform,
    Kind.FLAVOR: flavors.perform,
    Kind.REGISTERED_LIMIT: limits.perform,
    Kind.PROJECT_LIMIT: limits.perform,
    Kind.DEFAULT_QUOTA: quotas.perform,
    Kind.PROJECT_QUOTA: quotas.perform,
}
#: Gets to know how many changes were tried, and how many there are.
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Refusal:
    """A change that a service refused."""

    change: Change
    #: The whole sentence.
    reason: str


def run(api: Api, plan: Plan, ledger: Ledger, tell: Tell = lambda *_: None) -> list[Refusal]:
    """Make all changes that can be made.

    :returns: those that were refused; the others were made all the same
    :raises UserError: if it was interrupted, or a service went away: what was done, what is left
    """
    api.attempts = PATIENCE
    changes, refusals, made = plan.changes, list[Refusal](), 0
    with _interruptible(api.stop):
        record = dataclasses.replace(ledger.record, desired=plan.desired, entries=plan.entries)
        ledger.begin(dataclasses.replace(record, complete=record.complete and not changes))
        for number, change in enumerate(changes):
            tell(number, len(changes))
            try:
                _PERFORM[change.kind](api, ledger, change)
                made += 1
            except Refused as refused:
                reason = failures.sentence(refused.error, "admin", api.connection)
                refusals.append(Refusal(change, f"{change.kind} {change.name}: {reason}"))
            except Interrupted:
                raise UserError(f"interrupted: {_so_far(made, changes)}") from None
            except UserError as error:
                raise UserError(f"{error}; {_so_far(made, changes)}") from error
            except Exception as error:
                reason = failures.sentence(error, "admin", api.connection)
                if reason is None:
                    raise
                raise UserError(f"{reason}; {_so_far(made, changes)}") from error
        tell(len(changes), len(changes))
    if changes or not (ledger.record.complete and ledger.record.applied_at):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        ledger.begin(dataclasses.replace(ledger.record, complete=not refusals, applied_at=now))
    return refusals


def _so_far(made: int, changes: tuple[Change, ...]) -> str:
    return f"{made} of {len(changes)} changes done; run it again to go on"


@contextlib.contextmanager
def _interruptible(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C, and a request to end, wait for the request that is under way.

    A second Ctrl-C does not wait.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    # Only the main thread may.
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
