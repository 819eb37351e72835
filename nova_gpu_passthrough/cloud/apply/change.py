# SPDX-License-Identifier: Apache-2.0
"""One step of bringing a cloud to what is desired: pure data."""

import dataclasses
import difflib
import enum
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nova_gpu_passthrough.files import documents
from nova_gpu_passthrough.fleet.desired import Desired

#: An object as people see it: plain data, keys in the order to be shown.
Document = Mapping[str, Any]


class Kind(enum.StrEnum):
    """What sort of thing it is."""

    TRAIT = "trait"
    RESOURCE_CLASS = "resource class"
    AGGREGATE = "aggregate"
    #: A host that is in an aggregate, and a key of its metadata.
    AGGREGATE_HOST = "aggregate host"
    AGGREGATE_METADATA = "aggregate metadata"
    FLAVOR = "flavor"
    #: Keystone's unified limits.
    REGISTERED_LIMIT = "registered limit"
    PROJECT_LIMIT = "project limit"
    #: Nova's own: the quota class ``default``, and quota sets.
    DEFAULT_QUOTA = "default quota"
    PROJECT_QUOTA = "project quota"


class Action(enum.StrEnum):
    """What is done to it."""

    CREATE = "create"
    UPDATE = "update"
    #: Deleted and made again with the same id: Nova has no other way.
    REPLACE = "replace"
    DELETE = "delete"


@dataclass(frozen=True)
class Change:
    """One step; doing it twice does no harm."""

    kind: Kind
    name: str
    action: Action
    #: None: it is not there, or shall not be.
    before: Document | None
    after: Document | None
    #: What the module of the kind needs to do it.
    target: Any = None

    @property
    def summary(self) -> str:
        """What would be done, in a few words: ``update ram_mib: 1024 -> 2048``."""
        if self.before is None or self.after is None:
            return str(self.action)
        return f"{self.action} {', '.join(_differences(self.before, self.after))}"


def _differences(before: Document, after: Document, prefix: str = "") -> Iterator[str]:
    for key in dict.fromkeys((*before, *after)):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}: {_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value)


class Origin(enum.StrEnum):
    """How a thing that the fleet file names came into the cloud."""

    CREATED = "created"
    #: It was there, or somebody else made it.
    ADOPTED = "adopted"
    #: We are making it; it may be there and not be complete.
    PENDING = "pending"


class Key(NamedTuple):
    """Names a thing in the record."""

    kind: Kind
    name: str
    #: Of an aggregate, the host or key of metadata; of a limit, the project's id.
    part: str = ""


@dataclass(frozen=True)
class Entry:
    """A thing of the cloud that the fleet file names, or named."""

    kind: Kind
    name: str
    part: str = ""
    #: Of flavors, aggregates and limits. Another id means another thing of the same name.
    id: str | None = None
    origin: Origin = Origin.CREATED

    @property
    def key(self) -> Key:
        """What it is found by."""
        return Key(self.kind, self.name, self.part)

    @property
    def ours(self) -> bool:
        """Whether it may be deleted once the fleet file does not name it any more."""
        return self.origin is not Origin.ADOPTED


def reconciled(
    known: Mapping[Key, Entry], found: Mapping[Key, str | None], desired: Collection[Key]
) -> Iterator[Entry]:
    """What the record has to say, now that it is known what is there.

    A thing with another id than the record's is another thing, whose name was used again. What is
    desired and not there is kept: a flavor gets its id back, an adopted thing stays adopted.

    :param known: the record's entries of some kinds
    :param found: the things of these kinds that are in the cloud, with their ids
    :param desired: those that the fleet file names
    """
    for key, number in found.items():
        entry = known.get(key)
        if entry is not None and (entry.id == number or None in (entry.id, number)):
            yield dataclasses.replace(entry, id=number)
        elif key in desired:
            yield Entry(*key, number, Origin.ADOPTED)
    yield from (entry for key, entry in known.items() if key in desired and key not in found)


def complete(entry: Entry) -> Entry:
    """An entry of something that is there and of which nothing can be missing."""
    return dataclasses.replace(entry, origin=Origin.CREATED) if entry.ours else entry


@dataclass(frozen=True)
class Options:
    """What a plan depends on besides the cloud and what is desired."""

    #: Delete what apply did not make, too.
    prune: bool = False
    #: Change flavors that servers use, too.
    change_used: bool = False
    #: Of the record.
    entries: Mapping[Key, Entry] = field(default_factory=dict)

    def known(self, *kinds: Kind) -> dict[Key, Entry]:
        """The record's entries of some kinds."""
        return {key: entry for key, entry in self.entries.items() if key.kind in kinds}


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
        return text(self.changes, self.desired.fleet)


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


#: Kinds whose things are one line each, and what many of them are called.
_LISTS = {
    Kind.TRAIT: "traits",
    Kind.RESOURCE_CLASS: "resource classes",
    Kind.REGISTERED_LIMIT: "registered limits",
    Kind.PROJECT_LIMIT: "project limits",
    Kind.DEFAULT_QUOTA: "default quotas",
    Kind.PROJECT_QUOTA: "project quotas",
}


_NOTHING = "/dev/null"


def text(changes: Sequence[Change], fleet: str) -> str:
    """The diff, empty for no changes."""
    return "".join(f"{line}\n" for line in _lines(changes, fleet))


def _lines(changes: Sequence[Change], fleet: str) -> Iterator[str]:
    for kind, group in itertools.groupby(changes, key=lambda change: change.kind):
        if kind in _LISTS:
            yield from _list(_LISTS[kind], list(group), fleet)
        else:
            for change in group:
                yield from _document(change, fleet)


def _list(title: str, changes: Sequence[Change], fleet: str) -> Iterator[str]:
    yield f"--- {title} (cloud)"
    yield f"+++ {title} (fleet {fleet})"
    # Lines of a list have no place in a file, and what is next to them does not matter.
    yield "@@"
    for change in changes:
        if change.before is not None:
            yield f"-{_line(change.name, change.before)}"
        if change.after is not None:
            yield f"+{_line(change.name, change.after)}"


def _line(name: str, document: Document) -> str:
    values = ", ".join(str(value) for value in document.values())
    return f"{name}: {values}" if values else name


def _document(change: Change, fleet: str) -> Iterator[str]:
    title = f"{change.kind} {change.name}"
    old = _NOTHING if change.before is None else f"{title} (cloud)"
    new = _NOTHING if change.after is None else f"{title} (fleet {fleet})"
    if change.action is Action.REPLACE:
        new = f"{title} (fleet {fleet}; deleted and made again with the same id)"
    yield from difflib.unified_diff(
        _yaml(change.before), _yaml(change.after), old, new, lineterm=""
    )


def _yaml(document: Document | None) -> list[str]:
    return [] if document is None else documents.dump(dict(document)).splitlines()
