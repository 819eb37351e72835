# SPDX-License-Identifier: Apache-2.0
"""Read Nova's limits in Keystone, and find out which quota driver Nova uses.

By Keystone's default policies everyone may list registered limits, and the limits of their own
project; role admin those of all projects.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nova_gpu_passthrough.cloud.apply import quotas
from nova_gpu_passthrough.cloud.apply.unified_limits import UNLIMITED
from nova_gpu_passthrough.cloud.quota.caller import Caller
from nova_gpu_passthrough.cloud.quota.model import ActiveDriver
from nova_gpu_passthrough.cloud.view.reader import CloudReader

_FLAT = "flat"


@dataclass(frozen=True)
class KeystoneLimits:
    """Nova's limits in Keystone."""

    #: Registered limits by resource: those of projects without their own.
    registered: Mapping[str, int]
    #: Limits by resource by id of the project; of other projects only for role admin.
    by_project: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    #: The only project whose own limits are known; None: all are.
    only: str | None = None
    #: Keystone's enforcement model.
    model: str = _FLAT

    @property
    def note(self) -> str:
        """What these limits do not say; empty if nothing."""
        if self.model == _FLAT:
            return ""
        return (
            f"Keystone enforces limits by the model {self.model}: limits of domains and of parent "
            "projects are not considered"
        )


def read(reader: CloudReader, caller: Caller) -> KeystoneLimits:
    """Read the limits of Nova in the caller's region.

    Whatever its policy permits, Keystone lists other projects' limits only to the roles admin and
    service, and to tokens of system scope (keystone/api/limits.py).

    :raises UserError: if Keystone returns only some of them
    """
    by_project: dict[str, dict[str, int]] = {}
    for limit in _list(reader, caller, "limits"):
        if limit.get("project_id"):
            limits = by_project.setdefault(limit["project_id"], {})
            limits[limit["resource_name"]] = limit["resource_limit"]
    registered = {
        limit["resource_name"]: limit["default_limit"]
        for limit in _list(reader, caller, "registered_limits")
    }
    sees_all = {"admin", "service"} & set(caller.roles)
    return KeystoneLimits(
        registered,
        by_project,
        None if sees_all else caller.project_id,
        reader.keystone("/limits/model")["model"]["name"],
    )


def active_driver(defaults: Mapping[str, Any], registered: Mapping[str, int]) -> ActiveDriver:
    """Conclude from Nova's default quotas which quota driver it uses; see ``apply.quotas``.

    :param defaults: Nova's default quotas
    :param registered: Keystone's registered limits of Nova
    """
    values, unified = quotas.comparable(defaults, registered)
    if set(values.values()) == {UNLIMITED}:
        return ActiveDriver.NONE
    if values == unified:
        return ActiveDriver.UNIFIED_LIMITS
    return ActiveDriver.NOVA


def _list(reader: CloudReader, caller: Caller, collection: str) -> list[Mapping[str, Any]]:
    scope = {"service_id": caller.service_id}
    if caller.region_id:
        scope["region_id"] = caller.region_id
    return reader.limits(collection, **scope)
