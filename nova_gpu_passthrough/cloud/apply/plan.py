# SPDX-License-Identifier: Apache-2.0
"""A plan: all changes that bring a cloud to the desired state, and those that apply skips."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nova_gpu_passthrough.cloud.apply.change import (
    Change,
    ResourceKind,
    SkippedChange,
    render_diff,
)
from nova_gpu_passthrough.cloud.apply.record import RecordEntry, RecordKey
from nova_gpu_passthrough.fleet.desired_state import DesiredState

#: Why an object stays that the fleet file named once.
ADOPTED = "not in the fleet file any more, and it existed before apply"


@dataclass(frozen=True)
class PlanOptions:
    """What a plan depends on besides the cloud and the desired state."""

    #: Delete also objects that apply did not create.
    prune: bool = False
    #: Change also flavors that servers use.
    change_used: bool = False
    #: Entries of the record.
    entries: Mapping[RecordKey, RecordEntry] = field(default_factory=dict)

    def recorded(self, *kinds: ResourceKind) -> dict[RecordKey, RecordEntry]:
        """Return the record's entries of some kinds."""
        return {key: entry for key, entry in self.entries.items() if key.kind in kinds}


@dataclass(frozen=True)
class Plan:
    """All changes that bring a cloud to the desired state, in the order to make them."""

    desired: DesiredState
    changes: tuple[Change, ...] = ()
    skipped: tuple[SkippedChange, ...] = ()
    #: Other remarks for the operator, one sentence each.
    notes: tuple[str, ...] = ()
    #: Entries of the record that match the cloud as it is now.
    entries: tuple[RecordEntry, ...] = ()

    @property
    def held(self) -> tuple[SkippedChange, ...]:
        """The skipped changes of what the fleet file names."""
        return tuple(change for change in self.skipped if not change.foreign)

    @property
    def foreign(self) -> tuple[SkippedChange, ...]:
        """The objects that only ``--prune`` deletes."""
        return tuple(change for change in self.skipped if change.foreign)

    @property
    def is_matched(self) -> bool:
        """Whether the cloud is what the fleet file says, besides foreign objects."""
        return not self.changes and not self.held

    def diff(self) -> str:
        """Return the changes as a unified diff of the cloud against the fleet file."""
        return render_diff(self.changes, self.desired.fleet)


@dataclass
class PlanPart:
    """What the comparison of one kind of object adds to a plan."""

    changes: list[Change] = field(default_factory=list)
    #: Changes to make after those of all other kinds.
    deletions: list[Change] = field(default_factory=list)
    skipped: list[SkippedChange] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    entries: list[RecordEntry] = field(default_factory=list)

    def skip(
        self, kind: ResourceKind, name: str, reason: str, change: Change | None = None
    ) -> None:
        """Note a change that is not made, and why."""
        self.skipped.append(SkippedChange(kind, name, reason, change=change))

    def skip_foreign(
        self, kind: ResourceKind, name: str, reason: str, change: Change | None = None
    ) -> None:
        """Note a deletion that only ``--prune`` makes."""
        reason = f"{reason}; --prune deletes it"
        self.skipped.append(SkippedChange(kind, name, reason, foreign=True, change=change))
