# SPDX-License-Identifier: Apache-2.0
"""Nova's own quotas: plan and make changes; find out which quota driver Nova uses.

Nova reports what a project may use, but not whether that is a quota of the project or the default.
So a project quota that equals the default is set explicitly before the default changes. Nova cannot
unset a single quota: one that the fleet file no longer names gets the default's value, and a
default stays as it is.

No request reports Nova's quota driver. But the quota class ``default`` depends on it: with
nova.quota.UnifiedLimitsDriver Nova reports Keystone's registered limits, and 0 where there is none;
with nova.quota.NoopQuotaDriver it reports -1 for all; with nova.quota.DbQuotaDriver it reports its
own quotas (``get_class_quotas`` of each in nova/quota.py, ``LEGACY_LIMITS`` in nova/limit/).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.apply import unified_limits
from nova_gpu_passthrough.cloud.apply.change import Action, Change, ResourceKind
from nova_gpu_passthrough.cloud.apply.plan import PlanOptions, PlanPart
from nova_gpu_passthrough.cloud.apply.projects import Projects, UnknownProject
from nova_gpu_passthrough.cloud.apply.record import Ledger, RecordEntry, RecordKey
from nova_gpu_passthrough.cloud.apply.unified_limits import LimitScope
from nova_gpu_passthrough.cloud.apply.writer import CloudWriter
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.desired_state import DesiredState, Limit
from nova_gpu_passthrough.fleet.model import QuotaDriver

_DEFAULT_CLASS = "/os-quota-class-sets/default"
_KINDS = (ResourceKind.DEFAULT_QUOTA, ResourceKind.PROJECT_QUOTA)
#: Names of Nova's quotas as unified limits.
UNIFIED_NAMES = {
    "instances": "servers",
    "cores": "class:VCPU",
    "ram": "class:MEMORY_MB",
    "key_pairs": "server_key_pairs",
    "metadata_items": "server_metadata_items",
    "server_groups": "server_groups",
    "server_group_members": "server_group_members",
}


@dataclass(frozen=True)
class QuotaState:
    """What the cloud reports about quotas, as far as the fleet file's quotas need it."""

    #: Keystone's registered limits of Nova, by resource; None: not read.
    registered_limits: Mapping[str, int] | None = None
    #: Why Nova seems not to use the fleet file's quota driver; None: nothing indicates that.
    driver_note: str | None = None
    #: Whether Nova seems to use unified limits.
    unified: bool = False
    #: Where these limits are in Keystone; None: not read.
    scope: LimitScope | None = None


def read_quota_state(api: CloudWriter, desired: DesiredState) -> QuotaState:
    """Read registered limits, and check whether Nova uses the quota driver of the fleet file.

    Registered limits are read with either driver, since the check compares Nova's default quotas
    with them. If the fleet file has no quotas, there is no note about the driver; with Nova's own
    quotas nothing is read then.

    :raises UserError: if Keystone does not report all registered limits of Nova
    """
    if not desired.limits and desired.quota_driver != QuotaDriver.UNIFIED_LIMITS:
        return QuotaState()
    scope = unified_limits.limit_scope(api)
    registered = scope.registered_limits(api)
    defaults = api.nova(_DEFAULT_CLASS)["quota_class_set"]
    note = driver_note(desired.quota_driver, defaults, registered) if desired.limits else None
    return QuotaState(registered, note, _is_unified(defaults, registered), scope)


def _is_unified(defaults: Mapping[str, int], registered: Mapping[str, int]) -> bool:
    """Check whether Nova's default quotas are Keystone's registered limits."""
    values, unified = comparable(defaults, registered)
    return bool(values) and values == unified


def comparable(
    defaults: Mapping[str, int], registered: Mapping[str, int]
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Return Nova's default quotas, and what they are with unified limits."""
    values = {name: defaults[name] for name in UNIFIED_NAMES if name in defaults}
    return values, {name: registered.get(UNIFIED_NAMES[name], 0) for name in values}


def driver_note(
    driver: str, defaults: Mapping[str, int], registered: Mapping[str, int]
) -> str | None:
    """Describe why Nova seems to use another quota driver than expected; None if it does not.

    :param driver: the expected `QuotaDriver`
    :param defaults: Nova's quota class ``default``
    :param registered: Keystone's registered limits of Nova
    """
    values, unified = comparable(defaults, registered)
    if not values:
        return None
    if set(values.values()) == {-1}:
        return (
            "Nova enforces no quotas: [quota] driver of nova-api seems to be "
            "nova.quota.NoopQuotaDriver, so no limit has an effect"
        )
    if driver == QuotaDriver.UNIFIED_LIMITS and values != unified:
        differences = ", ".join(
            f"{name} {value} ({UNIFIED_NAMES[name]} {unified[name]})"
            for name, value in values.items()
            if value != unified[name]
        )
        return (
            "Nova's default quotas are not Keystone's registered limits, so [quota] driver of "
            "nova-api seems not to be nova.quota.UnifiedLimitsDriver, and the limits in Keystone "
            f"have no effect: {differences}"
        )
    if driver == QuotaDriver.NOVA and values == unified:
        return (
            "Nova's default quotas are Keystone's registered limits, so [quota] driver of nova-api "
            "seems to be nova.quota.UnifiedLimitsDriver, and Nova's own quotas have no effect"
        )
    return None


@dataclass(frozen=True)
class QuotaTarget:
    """The target state of a quota."""

    resource: str
    value: int
    #: The project's id; None for the default.
    project: str | None = None
    #: Whether the value is the default's, because the fleet file no longer names the project.
    unset: bool = False


def plan(
    api: CloudWriter, projects: Projects, desired: Iterable[Limit], options: PlanOptions
) -> PlanPart:
    """Compare Nova's quotas with those desired."""
    part, recorded = PlanPart(), options.recorded(*_KINDS)
    desired_values = _desired_values(projects, desired, part)
    if not (desired_values or recorded):
        return part
    defaults: dict[str, int] = api.nova(_DEFAULT_CLASS)["quota_class_set"]
    new_defaults = defaults | {
        key.name: value
        for key, value in desired_values.items()
        if key.kind is ResourceKind.DEFAULT_QUOTA
    }
    for resource, default in sorted(new_defaults.items()):
        old = defaults.get(resource)
        if default != old:
            part.changes.append(_change(resource, old, QuotaTarget(resource, default)))
    dropped = recorded.keys() - desired_values.keys()
    for key in dropped:
        if key.kind is ResourceKind.DEFAULT_QUOTA:
            reason = (
                f"not in the fleet file any more, and stays {defaults.get(key.name)}: Nova cannot "
                "unset it"
            )
            part.skip(key.kind, key.name, reason)
    for project in sorted({key.part for key in (*desired_values, *recorded)} - {""}):
        current: dict[str, int] = api.nova(f"/os-quota-sets/{project}")["quota_set"]
        project_name = projects.name(project)
        for key in sorted(desired_values):
            value = current.get(key.name)
            # A quota that is not set follows the default.
            follows = defaults.get(key.name) == value != new_defaults.get(key.name)
            if key.part == project and (value != desired_values[key] or follows):
                target = QuotaTarget(key.name, desired_values[key], project)
                part.changes.append(_change(f"{key.name} of {project_name}", value, target))
        for key in sorted(dropped):
            value = current.get(key.name)
            if key.part == project and value != new_defaults.get(key.name):
                part.entries.append(recorded[key])
                target = QuotaTarget(key.name, new_defaults[key.name], project, unset=True)
                part.deletions.append(_change(f"{key.name} of {project_name}", value, target))
    part.entries += (entry for key, entry in recorded.items() if key in desired_values)
    return part


def _desired_values(
    projects: Projects, desired: Iterable[Limit], part: PlanPart
) -> Mapping[RecordKey, int]:
    """Return the desired quotas by their keys in the record; skip those of unknown projects."""
    values: dict[RecordKey, int] = {}
    for limit in desired:
        if limit.project is None:
            values[RecordKey(ResourceKind.DEFAULT_QUOTA, limit.resource)] = limit.value
            continue
        try:
            project_id = projects.id(limit.project)
        except UnknownProject as error:
            reason = f"{error}; run apply again once it exists"
            part.skip(ResourceKind.PROJECT_QUOTA, limit.resource, reason)
        else:
            values[RecordKey(ResourceKind.PROJECT_QUOTA, limit.resource, project_id)] = limit.value
    return values


def _change(name: str, before: int | None, target: QuotaTarget) -> Change:
    """Return the change of a quota; its diff marks values that are the default."""
    kind = ResourceKind.DEFAULT_QUOTA if target.project is None else ResourceKind.PROJECT_QUOTA
    marks = (" (the default)" if before == target.value else "", " (the default)" * target.unset)
    old, new = ({"limit": f"{v}{m}"} for v, m in zip((before, target.value), marks, strict=True))
    return Change(kind, name, Action.UPDATE, old, new, target)


def perform(api: CloudWriter, ledger: Ledger, change: Change) -> None:
    """Set one quota.

    :raises RequestRefused: if Nova refuses
    :raises UserError: if Nova does not use its own quotas
    """
    target: QuotaTarget = change.target
    entry = RecordEntry(change.kind, target.resource, target.project or "")
    if not target.unset:
        ledger.mark_pending(entry)
    if target.project is None:
        body: dict[str, object] = {"quota_class_set": {target.resource: target.value}}
        quotas = api.send("compute", "PUT", _DEFAULT_CLASS, body).body["quota_class_set"]
    else:
        # Without force Nova refuses a quota below the project's current usage.
        body = {"quota_set": {target.resource: target.value, "force": True}}
        path = f"/os-quota-sets/{target.project}"
        quotas = api.send("compute", "PUT", path, body).body["quota_set"]
    if quotas.get(target.resource) != target.value:
        # As with nova.quota.UnifiedLimitsDriver (nova/api/openstack/compute/quota_sets.py).
        raise UserError(
            f"{change.kind} {change.name}: Nova accepts {target.value} and keeps "
            f"{quotas.get(target.resource)}, so [quota] driver of nova-api is not "
            "nova.quota.DbQuotaDriver: set quotas.driver in the fleet file to the driver of "
            "nova.conf"
        )
    if target.unset:
        ledger.remove(entry.key)
    else:
        ledger.mark_created(entry)
