# SPDX-License-Identifier: Apache-2.0
"""Changes as people review them: a unified diff of YAML, the cloud against the fleet file."""

import difflib
import itertools
from collections.abc import Iterator, Sequence

from nova_gpu_passthrough.cloud.apply.change import Action, Change, Document, Kind
from nova_gpu_passthrough.files import documents

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
