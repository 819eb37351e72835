# SPDX-License-Identifier: Apache-2.0
"""Changes since ``nova-gpu apply``: of the fleet file, the cloud and the configuration."""

from collections.abc import Iterator, Mapping
from typing import Any

from nova_gpu_passthrough.cloud.apply.record import Record
from nova_gpu_passthrough.cloud.lint import check, checks
from nova_gpu_passthrough.cloud.lint.checks import pending_changes
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet.desired_state import DesiredState
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import comment, script

#: Fields of the desired state whose items have names.
_NAMED_FIELDS = ("aggregates", "flavors")
#: Fields of the desired state that are compared as sets.
_SET_FIELDS = ("traits", "resource_classes", "limits", "unlimited")
#: What a field is called, if not by its name.
_TITLES = {"unlimited": "resources without quota"}


def findings(facts: Facts, desired: DesiredState, record: Record, path: str) -> Iterator[Finding]:
    """Yield the differences from the state that was applied last.

    :param facts: with the recorded state as the desired state, and the cloud compared with it
    :param desired: the desired state that the fleet file gives now
    :param path: path of the record
    """
    if not record.complete:
        yield Finding(
            "drift.incomplete",
            Severity.WARNING,
            f"fleet {record.fleet}",
            f"the last apply ({record.applied_at}) was not completed",
            path,
            "Some of the differences below are changes that apply did not make.",
            facts.fixes.apply(),
        )
    changes = list(differences(record.desired, desired))
    if changes:
        yield Finding(
            "drift.fleet_changed",
            Severity.WARNING,
            f"fleet {record.fleet}",
            f"since {record.applied_at} the fleet file or its inventories changed: "
            f"{'; '.join(changes)}",
            str(facts.resolved.file.path),
            "The cloud is compared with the state applied then, configuration and devices with the "
            "current fleet file.",
            script(
                comment("Review the changes, then run it without --dry-run:"),
                facts.fixes.apply("--dry-run"),
            ),
        )
    yield from check.run((one for one in checks.CHECKS if one.drift), facts)


def is_change(finding: Finding) -> bool:
    """Check whether a finding is a change since apply; objects of others never were applied."""
    return finding.id != pending_changes.FOREIGN


def differences(old: DesiredState, new: DesiredState) -> Iterator[str]:
    """Describe the differences between two desired states, one clause each."""
    if old.quota_driver != new.quota_driver:
        yield f"quotas.driver {old.quota_driver} -> {new.quota_driver}"
    for field in _NAMED_FIELDS:
        before, after = _by_name(getattr(old, field)), _by_name(getattr(new, field))
        yield from _added_and_removed(
            field, after.keys() - before.keys(), before.keys() - after.keys()
        )
        same = before.keys() & after.keys()
        if changed := sorted(name for name in same if before[name] != after[name]):
            yield f"{field} changed: {', '.join(changed)}"
    for field in _SET_FIELDS:
        old_texts, new_texts = _texts(getattr(old, field)), _texts(getattr(new, field))
        yield from _added_and_removed(field, new_texts - old_texts, old_texts - new_texts)


def _added_and_removed(field: str, added: Any, removed: Any) -> Iterator[str]:
    name = _TITLES.get(field) or field.replace("_", " ")
    if added:
        yield f"{name} added: {', '.join(sorted(added))}"
    if removed:
        yield f"{name} removed: {', '.join(sorted(removed))}"


def _by_name(items: Any) -> Mapping[str, Any]:
    return {item.name: item for item in items}


def _texts(items: Any) -> set[str]:
    return {item if isinstance(item, str) else _limit(item) for item in items}


def _limit(limit: Any) -> str:
    project = limit.project
    owner = f" of {project.name}" if project else ""
    return f"{limit.resource}{owner} = {limit.value}"
