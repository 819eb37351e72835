# SPDX-License-Identifier: Apache-2.0
"""What has changed since ``nova-gpu apply``: in the fleet file, the cloud and the configuration."""

from collections.abc import Iterator, Mapping
from typing import Any

from nova_gpu_passthrough.cloud.apply.record import Record
from nova_gpu_passthrough.cloud.lint import checks
from nova_gpu_passthrough.cloud.lint import facts as fix
from nova_gpu_passthrough.cloud.lint.checks import (
    devices,
    flavor_numa,
    flavor_size,
    flavors,
    fleet_flavors,
    inventory,
    options,
    protection,
)
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet.desired import Desired
from nova_gpu_passthrough.inventory.findings import Finding, Severity

#: Of lint's checks those that judge what the operator wants; the others compare.
_JUDGING = frozenset(
    (
        options.check,
        protection.check,
        inventory.check,
        fleet_flavors.check,
        flavors.check,
        flavor_numa.check,
        flavor_size.check,
        devices.check,
    )
)
_CHECKS = tuple(check for check in checks.CHECKS if check not in _JUDGING)
#: Parts of what is desired whose members have names.
_NAMED = ("aggregates", "flavors")
_LISTS = ("traits", "resource_classes", "limits")


def findings(facts: Facts, wanted: Desired, record: Record, path: str) -> Iterator[Finding]:
    """Everything that is not as it was when the fleet was applied.

    :param facts: with the recorded state as what is desired, and the cloud compared with it
    :param wanted: what the fleet file makes now
    :param path: of the record
    """
    if not record.complete:
        yield Finding(
            "drift.incomplete",
            Severity.WARNING,
            f"fleet {record.fleet}",
            f"the last apply ({record.applied_at}) was not completed",
            path,
            "Some of what is told below was never done.",
            f"Run {fix.APPLY} again.",
        )
    changed = list(differences(record.desired, wanted))
    if changed:
        yield Finding(
            "drift.fleet_changed",
            Severity.WARNING,
            f"fleet {record.fleet}",
            f"since {record.applied_at} the fleet file or its inventories changed: "
            f"{'; '.join(changed)}",
            str(facts.resolved.file.path),
            "Cloud and record are compared with what was applied then, configuration and devices "
            "with the fleet file as it is now.",
            f"Look at {fix.APPLY} --dry-run, then run it.",
        )
    for check in checks.useful(facts, _CHECKS):
        yield from check(facts)


def differences(old: Desired, new: Desired) -> Iterator[str]:
    """What two states that were desired differ in, one clause each."""
    if old.quota_driver != new.quota_driver:
        yield f"quotas.driver {old.quota_driver} -> {new.quota_driver}"
    for part in _NAMED:
        before, after = _by_name(getattr(old, part)), _by_name(getattr(new, part))
        yield from _words(part, after.keys() - before.keys(), before.keys() - after.keys())
        same = before.keys() & after.keys()
        if other := sorted(name for name in same if before[name] != after[name]):
            yield f"{part} changed: {', '.join(other)}"
    for part in _LISTS:
        was, shall = _texts(getattr(old, part)), _texts(getattr(new, part))
        yield from _words(part, shall - was, was - shall)


def _words(part: str, added: Any, removed: Any) -> Iterator[str]:
    name = part.replace("_", " ")
    if added:
        yield f"{name} added: {', '.join(sorted(added))}"
    if removed:
        yield f"{name} removed: {', '.join(sorted(removed))}"


def _by_name(members: Any) -> Mapping[str, Any]:
    return {member.name: member for member in members}


def _texts(members: Any) -> set[str]:
    return {member if isinstance(member, str) else _limit(member) for member in members}


def _limit(limit: Any) -> str:
    project = limit.project
    whose = f" of {project.name}" if project else ""
    return f"{limit.resource}{whose} = {limit.value}"
