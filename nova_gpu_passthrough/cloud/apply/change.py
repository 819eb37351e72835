# SPDX-License-Identifier: Apache-2.0
"""One step of bringing a cloud to what is desired: pure data."""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
