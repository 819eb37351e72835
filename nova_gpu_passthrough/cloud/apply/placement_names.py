# SPDX-License-Identifier: Apache-2.0
"""Placement's custom traits and custom resource classes: plan and make changes.

Both are only names. A PUT request creates them, and Placement does not delete them while a resource
provider has them (placement/handlers/trait.py, resource_class.py).
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import os_resource_classes
import os_traits

from nova_gpu_passthrough.cloud.apply.change import Action, Change, ResourceKind
from nova_gpu_passthrough.cloud.apply.plan import ADOPTED, PlanOptions, PlanPart
from nova_gpu_passthrough.cloud.apply.record import (
    Ledger,
    RecordEntry,
    RecordKey,
    mark_complete,
    reconcile_entries,
)
from nova_gpu_passthrough.cloud.apply.writer import CloudWriter, RequestRefused


@dataclass(frozen=True)
class PlacementNames:
    """Plans and makes changes of custom traits, or of custom resource classes."""

    kind: ResourceKind
    #: Path of the collection.
    path: str
    #: Returns all custom names.
    read: Callable[[CloudWriter], Collection[str]]
    #: Returns those names that resource providers have.
    read_used: Callable[[CloudWriter, Collection[str]], Collection[str]]

    def plan(self, api: CloudWriter, desired: Iterable[str], options: PlanOptions) -> PlanPart:
        """Compare the names in Placement with those desired."""
        part = PlanPart()
        custom = [name for name in desired if os_traits.is_custom(name)]
        existing = set(self.read(api))
        for name in custom:
            if name not in existing:
                part.changes.append(Change(self.kind, name, Action.CREATE, None, {}))
        desired_keys = {RecordKey(self.kind, name) for name in custom}
        existing_keys = {RecordKey(self.kind, name): None for name in sorted(existing)}
        part.entries += (
            mark_complete(entry) if entry.key in existing_keys else entry
            for entry in reconcile_entries(options.recorded(self.kind), existing_keys, desired_keys)
        )
        removed = [entry for entry in part.entries if entry.key not in desired_keys]
        used = self.read_used(api, {entry.name for entry in removed}) if removed else ()
        for entry in removed:
            if entry.name in used:
                # Say nothing of adopted names in use, such as the traits of nova-compute.
                if entry.deletable or options.prune:
                    reason = "not needed any more, but resource providers have it"
                    part.skip(self.kind, entry.name, reason)
            elif entry.deletable or options.prune:
                part.deletions.append(Change(self.kind, entry.name, Action.DELETE, {}, None))
            else:
                part.skip_foreign(self.kind, entry.name, ADOPTED)
        return part

    def perform(self, api: CloudWriter, ledger: Ledger, change: Change) -> None:
        """Create or delete a name.

        :raises RequestRefused: if Placement refuses
        """
        entry, path = RecordEntry(self.kind, change.name), f"{self.path}/{change.name}"
        if change.action is Action.DELETE:
            try:
                api.send("placement", "DELETE", path)
            except RequestRefused as refusal:
                if refusal.status != 404:
                    raise
            ledger.remove(entry.key)
            return
        ledger.mark_pending(entry)
        response = api.send("placement", "PUT", path)
        if response.status == 201 or response.retried:
            ledger.mark_created(entry)
        else:
            ledger.mark_adopted(entry)


def _read_traits(api: CloudWriter) -> Collection[str]:
    query = f"startswith:{os_traits.CUSTOM_NAMESPACE}"
    traits: list[str] = api.placement("/traits", name=query)["traits"]
    return traits


def _read_used_traits(api: CloudWriter, names: Collection[str]) -> Collection[str]:
    query = f"in:{','.join(sorted(names))}"
    traits: list[str] = api.placement("/traits", name=query, associated="true")["traits"]
    return traits


def _read_classes(api: CloudWriter) -> Collection[str]:
    names = (one["name"] for one in api.placement("/resource_classes")["resource_classes"])
    return [name for name in names if os_resource_classes.is_custom(name)]


def _read_used_classes(api: CloudWriter, names: Collection[str]) -> Collection[str]:
    """Return the resource classes of which a provider has an inventory.

    Placement's query finds only providers with free resources. If that does not find all classes,
    read the inventories of all providers.
    """
    used = {
        name
        for name in names
        if api.placement("/resource_providers", resources=f"{name}:1")["resource_providers"]
    }
    if used == set(names):
        return used
    providers = api.placement("/resource_providers")["resource_providers"]

    def read_classes(uuid: str) -> set[str]:
        return set(api.placement(f"/resource_providers/{uuid}/inventories")["inventories"])

    uuids = [provider["uuid"] for provider in providers]
    classes = api.each("inventories of resource providers", uuids, read_classes)
    return used.union(*classes) & set(names)


TRAITS = PlacementNames(ResourceKind.TRAIT, "/traits", _read_traits, _read_used_traits)
RESOURCE_CLASSES = PlacementNames(
    ResourceKind.RESOURCE_CLASS, "/resource_classes", _read_classes, _read_used_classes
)
