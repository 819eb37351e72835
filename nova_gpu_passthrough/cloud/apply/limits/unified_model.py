# SPDX-License-Identifier: Apache-2.0
"""Unified limits of Nova in Keystone, as they are.

A registered limit is what every project gets; a limit is what one project gets instead. Oslo.limit
looks for both by the service and the region of nova-api's endpoint.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nova_gpu_passthrough.cloud.apply.api import Api
from nova_gpu_passthrough.cloud.apply.change import Action, Change, Kind
from nova_gpu_passthrough.errors import UserError

#: What Keystone calls the value, in requests and answers.
VALUES = {Kind.REGISTERED_LIMIT: "default_limit", Kind.PROJECT_LIMIT: "resource_limit"}
_PATHS = {Kind.REGISTERED_LIMIT: "registered_limits", Kind.PROJECT_LIMIT: "limits"}


@dataclass(frozen=True)
class Place:
    """Whose limits they are."""

    service: str
    region: str

    def find(self, api: Api, kind: Kind, **wanted: str) -> list[Mapping[str, Any]]:
        """Limits with all of some properties.

        :raises UserError: if Keystone shows only some of them
        """
        path = _PATHS[kind]
        scope = {"service_id": self.service, "region_id": self.region}
        body = api.keystone(f"/{path}", **scope, **wanted)
        if body.get("truncated"):
            raise UserError(
                "Keystone shows only some of the limits: raise list_limit in [unified_limit] of "
                "keystone.conf"
            )
        found: list[Mapping[str, Any]] = body[path]
        return found

    def create(self, api: Api, kind: Kind, value: int, **wanted: str) -> Mapping[str, Any]:
        """Make one limit."""
        limit = {
            "service_id": self.service,
            "region_id": self.region,
            VALUES[kind]: value,
            **wanted,
        }
        body = api.send("identity", "POST", path(kind), {_PATHS[kind]: [limit]}).body
        made: Mapping[str, Any] = body[_PATHS[kind]][0]
        return made


@dataclass(frozen=True)
class Target:
    """What a limit shall be."""

    place: Place
    resource: str
    #: None: it shall not be.
    value: int | None
    #: An id; None for a registered limit.
    project: str | None = None
    #: Of a registered limit: limits of projects, by their ids, that are deleted before it is
    #: changed, and their values after it; None: they are not made anew.
    again: Mapping[str, int | None] = field(default_factory=dict)


def path(kind: Kind, number: str = "") -> str:
    """Where limits of a kind are, or one of them."""
    return f"/{_PATHS[kind]}/{number}" if number else f"/{_PATHS[kind]}"


def change(kind: Kind, name: str, before: int | None, after: int | None, target: Any) -> Change:
    """One step with a limit or quota; None: it is not there, or shall not be."""
    action = Action.CREATE if before is None else Action.UPDATE
    if after is None:
        action = Action.DELETE
    old, new = (None if value is None else {"limit": value} for value in (before, after))
    return Change(kind, name, action, old, new, target)


def place(api: Api) -> Place:
    """The service and region of Nova's limits.

    :raises UserError: if the catalogue does not tell
    """
    services = api.keystone("/services", type="compute")["services"]
    if len(services) > 1:
        services = [one for one in services if one["name"] == "nova"] or services
    if len(services) != 1:
        raise UserError(
            f"Keystone has {len(services)} services of type compute: limits need one, or one that "
            "is called nova; see openstack service list"
        )
    service, region = services[0]["id"], api.connection.config.get_region_name("compute")
    if not region:
        endpoints = api.keystone("/endpoints", service_id=service)["endpoints"]
        regions = sorted({one["region_id"] for one in endpoints} - {None})
        if len(regions) != 1:
            raise UserError(
                f"limits are kept by region, and Nova is in {', '.join(regions) or 'none'}: name "
                "one with --os-region-name"
            )
        region = regions[0]
    return Place(service, str(region))


def by_resource(
    api: Api, where: Place, resources: Iterable[str]
) -> dict[str, list[Mapping[str, Any]]]:
    """Limits of projects by resource; those of domains among them."""
    return {
        resource: where.find(api, Kind.PROJECT_LIMIT, resource_name=resource)
        for resource in resources
    }
