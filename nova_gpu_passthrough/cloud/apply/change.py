# SPDX-License-Identifier: Apache-2.0
"""Changes of a cloud's objects, and how a diff shows them.

A change is plain data: what the object is now, what it will be, and what the module of its kind
needs to make the change.
"""

import difflib
import enum
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nova_gpu_passthrough.files import documents

#: An object as a diff shows it: plain data, with keys in the order of display.
Document = Mapping[str, Any]


class ResourceKind(enum.StrEnum):
    """The kinds of objects in a cloud that apply manages."""

    TRAIT = "trait"
    RESOURCE_CLASS = "resource class"
    AGGREGATE = "aggregate"
    #: A member host of an aggregate, and a key of its metadata: only in the record.
    AGGREGATE_HOST = "aggregate host"
    AGGREGATE_METADATA = "aggregate metadata"
    FLAVOR = "flavor"
    #: Keystone's unified limits.
    REGISTERED_LIMIT = "registered limit"
    PROJECT_LIMIT = "project limit"
    #: Nova's own quotas: the quota class ``default``, and quota sets.
    DEFAULT_QUOTA = "default quota"
    PROJECT_QUOTA = "project quota"

    @property
    def plural(self) -> str:
        """The name of several objects of the kind."""
        return f"{self}es" if self.endswith("s") else f"{self}s"


class Action(enum.StrEnum):
    """What a change does to an object."""

    CREATE = "create"
    UPDATE = "update"
    #: Delete and create again with the same id, where Nova cannot update.
    REPLACE = "replace"
    DELETE = "delete"


@dataclass(frozen=True)
class Change:
    """One change of one object. It is idempotent: making it twice does no harm."""

    kind: ResourceKind
    name: str
    action: Action
    #: None: the object does not exist.
    before: Document | None
    #: None: the object will not exist.
    after: Document | None
    #: The target state, in the form that the module of the kind uses.
    target: Any = None

    @property
    def summary(self) -> str:
        """The action and the differences on one line: ``update ram_mib: 1024 -> 2048``."""
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
            yield f"{prefix}{key}: {_value_text(old)} -> {_value_text(new)}"


def _value_text(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value)


@dataclass(frozen=True)
class SkippedChange:
    """A change that the fleet file implies and apply does not make."""

    kind: ResourceKind
    name: str
    #: Why, and what to do about it: a sentence without its subject.
    reason: str
    #: Whether ``--prune`` would make it: the object is not in the fleet file, and apply did not
    #: create it.
    foreign: bool = False
    #: The change itself, where it is known as a whole.
    change: Change | None = None

    def __str__(self) -> str:
        """The whole sentence."""
        return f"{self.kind} {self.name}: {self.reason}"


#: Kinds whose objects take one line each in a diff.
_LIST_KINDS = (
    ResourceKind.TRAIT,
    ResourceKind.RESOURCE_CLASS,
    ResourceKind.REGISTERED_LIMIT,
    ResourceKind.PROJECT_LIMIT,
    ResourceKind.DEFAULT_QUOTA,
    ResourceKind.PROJECT_QUOTA,
)
_NO_FILE = "/dev/null"


def render_diff(changes: Sequence[Change], fleet: str) -> str:
    """Return a unified diff of changes; it is empty without changes."""
    return "".join(f"{line}\n" for line in _diff_lines(changes, fleet))


def _diff_lines(changes: Sequence[Change], fleet: str) -> Iterator[str]:
    for kind, group in itertools.groupby(changes, key=lambda change: change.kind):
        if kind in _LIST_KINDS:
            yield from _list_diff(kind.plural, list(group), fleet)
        else:
            for change in group:
                yield from _object_diff(change, fleet)


def _list_diff(title: str, changes: Sequence[Change], fleet: str) -> Iterator[str]:
    yield f"--- {title} (cloud)"
    yield f"+++ {title} (fleet {fleet})"
    # Entries of a list have no line numbers, and their neighbours are no useful context.
    yield "@@"
    for change in changes:
        if change.before is not None:
            yield f"-{_list_line(change.name, change.before)}"
        if change.after is not None:
            yield f"+{_list_line(change.name, change.after)}"


def _list_line(name: str, document: Document) -> str:
    values = ", ".join(str(value) for value in document.values())
    return f"{name}: {values}" if values else name


def _object_diff(change: Change, fleet: str) -> Iterator[str]:
    title = f"{change.kind} {change.name}"
    old = _NO_FILE if change.before is None else f"{title} (cloud)"
    new = _NO_FILE if change.after is None else f"{title} (fleet {fleet})"
    if change.action is Action.REPLACE:
        new = f"{title} (fleet {fleet}; deleted and created again with the same id)"
    yield from difflib.unified_diff(
        _yaml_lines(change.before), _yaml_lines(change.after), old, new, lineterm=""
    )


def _yaml_lines(document: Document | None) -> list[str]:
    return [] if document is None else documents.dump(dict(document)).splitlines()
