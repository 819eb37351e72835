# SPDX-License-Identifier: Apache-2.0
"""Compare a cloud with the desired state of a fleet file, and plan the changes."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud import failures
from nova_gpu_passthrough.cloud.apply import aggregates, flavors, quotas, unified_limits
from nova_gpu_passthrough.cloud.apply.change import ResourceKind
from nova_gpu_passthrough.cloud.apply.placement_names import RESOURCE_CLASSES, TRAITS
from nova_gpu_passthrough.cloud.apply.plan import Plan, PlanOptions, PlanPart
from nova_gpu_passthrough.cloud.apply.projects import Projects
from nova_gpu_passthrough.cloud.apply.quotas import QuotaState
from nova_gpu_passthrough.cloud.apply.record import Record
from nova_gpu_passthrough.cloud.apply.writer import CloudWriter
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.desired_state import DesiredState
from nova_gpu_passthrough.fleet.model import QuotaDriver

if TYPE_CHECKING:
    from openstack.connection import Connection

_UNIFIED_LIMITS = (ResourceKind.REGISTERED_LIMIT, ResourceKind.PROJECT_LIMIT)


def make_plan(
    connection: "Connection",
    desired: DesiredState,
    record: Record | None = None,
    prune: bool = False,
    change_used: bool = False,
) -> Plan:
    """Compare a cloud with the desired state, without changing anything.

    :param record: of the last apply; None: there is none
    :param prune: delete also objects that apply did not create: GPU flavors that are not in the
        fleet file, other hosts in its aggregates, limits on its GPUs, and objects that the file
        named once
    :param change_used: change and delete also flavors that servers use
    :raises UserError: names the kind of objects that could not be read, and why
    """
    return compare(CloudWriter(connection), desired, record, prune, change_used)


def compare(
    api: CloudWriter,
    desired: DesiredState,
    record: Record | None = None,
    prune: bool = False,
    change_used: bool = False,
) -> Plan:
    """Do what `make_plan` does, for a caller that will also make the changes."""
    entries = {entry.key: entry for entry in record.entries} if record else {}
    options, projects = PlanOptions(prune, change_used, entries), Projects(api)
    planners: list[tuple[str, Callable[[], PlanPart]]] = [
        ("traits", lambda: TRAITS.plan(api, desired.traits, options)),
        (
            "resource classes",
            lambda: RESOURCE_CLASSES.plan(api, desired.resource_classes, options),
        ),
        ("aggregates", lambda: aggregates.plan(api, projects, desired.aggregates, options)),
        (
            "flavors",
            lambda: flavors.plan(api, projects, desired.flavors, desired.aliases, options),
        ),
        ("limits", lambda: _plan_limits(api, projects, desired, options)),
    ]
    plan_parts = []
    for subject, plan in planners:
        with _errors_about(subject, api):
            plan_parts.append(plan())
    return _join(desired, plan_parts)


def _plan_limits(
    api: CloudWriter, projects: Projects, desired: DesiredState, options: PlanOptions
) -> PlanPart:
    """Plan for the quota driver of the fleet file; delete what apply created for the other one."""
    limits = desired.limits
    state = _read_quota_state(api, desired)
    if desired.quota_driver == QuotaDriver.UNIFIED_LIMITS:
        # A fleet file without quotas leaves existing limits alone.
        resource_classes = set(desired.aliases.values()) if limits else set()
        unlimited = desired.unlimited if state.unified else ()
        part = unified_limits.plan(api, projects, limits, resource_classes, options, unlimited)
    else:
        part = quotas.plan(api, projects, limits, options)
        if options.recorded(*_UNIFIED_LIMITS):
            old = unified_limits.plan(api, projects, (), (), options)
            part.deletions += old.deletions
            part.skipped += old.skipped
            part.entries += old.entries
    part.notes += [state.driver_note] if state.driver_note else []
    return part


def _read_quota_state(api: CloudWriter, desired: DesiredState) -> QuotaState:
    """Read what the cloud reports about quotas; nothing if the fleet needs no limits."""
    if desired.limits:
        return quotas.read_quota_state(api, desired)
    if not desired.unlimited:
        return QuotaState()
    try:
        return quotas.read_quota_state(api, desired)
    except UserError:
        # Without quotas in the fleet file, the limits only keep errors out of Nova's logs.
        return QuotaState()


def _join(desired: DesiredState, plan_parts: Iterable[PlanPart]) -> Plan:
    """Order changes so that each object precedes those that need it; reverse for deletions."""
    parts = list(plan_parts)
    changes = [change for part in parts for change in part.changes]
    changes += [change for part in reversed(parts) for change in part.deletions]
    return Plan(
        desired,
        tuple(changes),
        tuple(skipped for part in parts for skipped in part.skipped),
        tuple(note for part in parts for note in part.notes),
        tuple(sorted((entry for part in parts for entry in part.entries), key=lambda e: e.key)),
    )


@contextlib.contextmanager
def _errors_about(subject: str, api: CloudWriter) -> Iterator[None]:
    """Raise UserError that starts with the kind of objects that could not be read."""
    try:
        with failures.as_user_errors("admin", lambda: api.connection):
            yield
    except UserError as error:
        raise UserError(f"{subject}: {error}") from error
