# SPDX-License-Identifier: Apache-2.0
"""What is to be changed in a cloud, what is not and why: pure data."""

from dataclasses import dataclass, field

from nova_gpu_passthrough.cloud.apply import diff
from nova_gpu_passthrough.cloud.apply.change import Change, Kind
from nova_gpu_passthrough.cloud.apply.entry import Entry
from nova_gpu_passthrough.fleet.desired import Desired

#: Of something that the fleet file named once.
ADOPTED = "not in the fleet file any more, and there before apply"


@dataclass(frozen=True)
class Held:
    """Something that is not done, or stays as it is, and why."""

    kind: Kind
    name: str
    #: A sentence without its subject, with what to do about it.
    reason: str
    #: Whether ``--prune`` would do it: it is in nobody's fleet file, and apply did not make it.
    foreign: bool = False

    def __str__(self) -> str:
        """The whole sentence."""
        return f"{self.kind} {self.name}: {self.reason}"


@dataclass(frozen=True)
class Plan:
    """What it takes to bring a cloud to what is desired."""

    desired: Desired
    #: In the order in which they are to be done.
    changes: tuple[Change, ...] = ()
    held: tuple[Held, ...] = ()
    #: What else somebody should know, one sentence each.
    notes: tuple[str, ...] = ()
    #: What the record has to say of the cloud as it is.
    entries: tuple[Entry, ...] = ()

    def diff(self) -> str:
        """The changes as a unified diff, the cloud as it is against the fleet file."""
        return diff.text(self.changes, self.desired.fleet)


@dataclass
class Part:
    """What one kind of thing adds to a plan."""

    changes: list[Change] = field(default_factory=list)
    #: Changes that come after those of all other kinds.
    deletions: list[Change] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def foreign(self, kind: Kind, name: str, reason: str) -> None:
        """Note something that only ``--prune`` would delete."""
        self.held.append(Held(kind, name, f"{reason}; --prune deletes it", foreign=True))
