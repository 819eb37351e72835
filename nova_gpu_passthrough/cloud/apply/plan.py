# SPDX-License-Identifier: Apache-2.0
"""What it takes to bring a cloud to what a fleet file says."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud import failures
from nova_gpu_passthrough.cloud.apply.aggregates import plan as aggregates
from nova_gpu_passthrough.cloud.apply.api import Api
from nova_gpu_passthrough.cloud.apply.change import Kind, Options, Part, Plan
from nova_gpu_passthrough.cloud.apply.flavors import plan as flavors
from nova_gpu_passthrough.cloud.apply.limits import driver, quotas, unified
from nova_gpu_passthrough.cloud.apply.placement_names import RESOURCE_CLASSES, TRAITS
from nova_gpu_passthrough.cloud.apply.projects import Projects
from nova_gpu_passthrough.cloud.apply.record import Record
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.desired import Desired
from nova_gpu_passthrough.fleet.model import QuotaDriver

if TYPE_CHECKING:
    from openstack.connection import Connection

_UNIFIED = (Kind.REGISTERED_LIMIT, Kind.PROJECT_LIMIT)


def make(
    connection: "Connection",
    desired: Desired,
    record: Record | None = None,
    prune: bool = False,
    change_used: bool = False,
) -> Plan:
    """Compare a cloud with what is desired; nothing is changed.

    :param record: of what was applied last; None: there is none
    :param prune: delete also what apply did not make: GPU flavors that are not in the fleet file,
        hosts in its aggregates, limits on its GPUs, and what the file named once
    :param change_used: change and delete also flavors that servers have
    :raises UserError: with the part that could not be read, and why
    """
    return compare(Api(connection), desired, record, prune, change_used)


def compare(
    api: Api,
    desired: Desired,
    record: Record | None = None,
    prune: bool = False,
    change_used: bool = False,
) -> Plan:
    """The same for whoever goes on with the requests."""
    entries = {entry.key: entry for entry in record.entries} if record else {}
    options, projects = Options(prune, change_used, entries), Projects(api)
    readers: list[tuple[str, Callable[[], Part]]] = [
        ("traits", lambda: TRAITS.plan(api, desired.traits, options)),
        (
            "resource classes",
            lambda: RESOURCE_CLASSES.plan(api, desired.resource_classes, options),
        ),
        ("aggregates", lambda: aggregates.plan(api, desired.aggregates, options)),
        (
            "flavors",
            lambda: flavors.plan(api, projects, desired.flavors, desired.aliases, options),
        ),
        ("limits", lambda: _limits(api, projects, desired, options)),
    ]
    parts = []
    for name, read in readers:
        with _told(name, api):
            parts.append(read())
    return _joined(desired, parts)


def _limits(api: Api, projects: Projects, desired: Desired, options: Options) -> Part:
    """Of the driver that the fleet file names; what was made for the other one goes."""
    limits = desired.limits
    # Without quotas in the fleet file, limits are none of its business.
    classes = set(desired.aliases.values()) if limits else set()
    if desired.quota_driver == QuotaDriver.UNIFIED_LIMITS:
        part = unified.plan(api, projects, limits, classes, options)
    else:
        part = quotas.plan(api, projects, limits, options)
        if options.known(*_UNIFIED):
            old = unified.plan(api, projects, (), (), options)
            part.deletions += old.deletions
            part.held += old.held
            part.entries += old.entries
    if limits:
        where = unified.place(api)
        registered = {
            one["resource_name"]: one["default_limit"]
            for one in where.find(api, Kind.REGISTERED_LIMIT)
        }
        shown = api.nova("/os-quota-class-sets/default")["quota_class_set"]
        note = driver.note(desired.quota_driver, shown, registered)
        part.notes += [note] if note else []
    return part


def _joined(desired: Desired, parts: Iterable[Part]) -> Plan:
    """Changes in the order in which things need each other, deletions in the opposite one."""
    parts = list(parts)
    changes = [change for part in parts for change in part.changes]
    changes += [change for part in reversed(parts) for change in part.deletions]
    return Plan(
        desired,
        tuple(changes),
        tuple(held for part in parts for held in part.held),
        tuple(note for part in parts for note in part.notes),
        tuple(sorted((entry for part in parts for entry in part.entries), key=lambda e: e.key)),
    )


@contextlib.contextmanager
def _told(part: str, api: Api) -> Iterator[None]:
    """Say of what was being read where it could not be."""
    try:
        with failures.translated("admin", lambda: api.connection):
            yield
    except UserError as error:
        raise UserError(f"{part}: {error}") from error
