# SPDX-License-Identifier: Apache-2.0
"""Names that Placement keeps: custom traits, and custom resource classes.

Both are nothing but names, made by PUT, and not deleted while a resource provider has them
(placement/handlers/trait.py, resource_class.py).
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.apply.api import Api, Refused
from nova_gpu_passthrough.cloud.apply.change import (
    ADOPTED,
    Action,
    Change,
    Entry,
    Held,
    Key,
    Kind,
    Options,
    Part,
    complete,
    reconciled,
)
from nova_gpu_passthrough.cloud.apply.record import Ledger

PREFIX = "CUSTOM_"


@dataclass(frozen=True)
class Names:
    """One of the two sorts."""

    kind: Kind
    #: Path of the collection.
    path: str
    #: Those that Placement knows and nobody wrote into its source.
    read: Callable[[Api], Collection[str]]
    #: Those of some names that resource providers have.
    used: Callable[[Api, Collection[str]], Collection[str]]

    def plan(self, api: Api, desired: Iterable[str], options: Options) -> Part:
        """What is to be made, and what is not needed any more."""
        part = Part()
        wanted = [name for name in desired if name.startswith(PREFIX)]
        there = set(self.read(api))
        for name in wanted:
            if name not in there:
                part.changes.append(Change(self.kind, name, Action.CREATE, None, {}))
        keys = {Key(self.kind, name) for name in wanted}
        found = {Key(self.kind, name): None for name in sorted(there)}
        known = reconciled(options.known(self.kind), found, keys)
        entries = [complete(entry) if entry.key in found else entry for entry in known]
        part.entries += entries
        left = [entry for entry in entries if entry.key not in keys]
        used = self.used(api, {entry.name for entry in left}) if left else ()
        for entry in left:
            if entry.name in used:
                # What somebody else made and has in use is none of our business.
                if entry.ours or options.prune:
                    reason = "not needed any more, but resource providers have it"
                    part.held.append(Held(self.kind, entry.name, reason))
            elif entry.ours or options.prune:
                part.deletions.append(Change(self.kind, entry.name, Action.DELETE, {}, None))
            else:
                part.foreign(self.kind, entry.name, ADOPTED)
        return part

    def perform(self, api: Api, ledger: Ledger, change: Change) -> None:
        """Make a name, or delete it.

        :raises Refused: if Placement does not do it
        """
        entry, path = Entry(self.kind, change.name), f"{self.path}/{change.name}"
        if change.action is Action.DELETE:
            try:
                api.send("placement", "DELETE", path)
            except Refused as refused:
                if refused.status != 404:
                    raise
            ledger.gone(entry.key)
            return
        ledger.intend(entry)
        answer = api.send("placement", "PUT", path)
        if answer.status == 201 or answer.again:
            ledger.made(entry)
        else:
            ledger.found(entry)


def _read_traits(api: Api) -> Collection[str]:
    traits: list[str] = api.placement("/traits", name=f"startswith:{PREFIX}")["traits"]
    return traits


def _used_traits(api: Api, names: Collection[str]) -> Collection[str]:
    wanted = f"in:{','.join(sorted(names))}"
    traits: list[str] = api.placement("/traits", name=wanted, associated="true")["traits"]
    return traits


def _read_classes(api: Api) -> Collection[str]:
    found = (one["name"] for one in api.placement("/resource_classes")["resource_classes"])
    return [name for name in found if name.startswith(PREFIX)]


def _used_classes(api: Api, names: Collection[str]) -> Collection[str]:
    """Placement finds providers by what they have left, not by what they have: all are asked."""
    used = {
        name
        for name in names
        if api.placement("/resource_providers", resources=f"{name}:1")["resource_providers"]
    }
    if used == set(names):
        return used
    providers = api.placement("/resource_providers")["resource_providers"]

    def classes(provider: str) -> set[str]:
        path = f"/resource_providers/{provider}/inventories"
        return set(api.placement(path)["inventories"])

    ids = [provider["uuid"] for provider in providers]
    return used.union(*api.each("inventories of resource providers", ids, classes)) & set(names)


TRAITS = Names(Kind.TRAIT, "/traits", _read_traits, _used_traits)
RESOURCE_CLASSES = Names(Kind.RESOURCE_CLASS, "/resource_classes", _read_classes, _used_classes)
