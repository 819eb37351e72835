# SPDX-License-Identifier: Apache-2.0
"""Who asks: project and roles of the token, and the service and region that limits are for.

Only administrators may list Keystone's services, but each token has the catalogue with their ids.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
    from openstack.connection import Connection


@dataclass(frozen=True)
class Caller:
    """The user of a connection, as Keystone describes it in the token."""

    user: str
    project_id: str
    project_name: str
    #: Names, in no order.
    roles: tuple[str, ...]
    #: Id of Nova in Keystone, for which its limits are.
    service_id: str
    #: Region of Nova's limits; None: limits without region.
    region_id: str | None


def read(connection: "Connection") -> Caller:
    """Authenticate, if that was not done yet, and return the user and the project.

    :raises UserError: if the token is for no project, or Nova's region is ambiguous
    :raises keystoneauth1.exceptions.ClientException: if Keystone refuses
    """
    auth: Any = connection.session.auth
    access = auth.get_access(connection.session)
    if not access.project_id:
        raise UserError(
            f"needs role reader in a project; the token of user {access.username} is for none: set "
            "project_name in clouds.yaml, or --os-project-name"
        )
    services = [one for one in access.service_catalog.catalog if one["type"] == "compute"]
    if not services:
        raise UserError(
            "Keystone's catalogue has no service of type compute: see openstack catalog list"
        )
    service = next((one for one in services if one["name"] == "nova"), services[0])
    return Caller(
        access.username or access.user_id,
        access.project_id,
        access.project_name or access.project_id,
        tuple(access.role_names),
        service["id"],
        _region(connection, service),
    )


def _region(connection: "Connection", service: Any) -> str | None:
    configured: str | None = connection.config.get_region_name("compute") or None
    if configured:
        return configured
    regions = sorted({one.get("region_id") for one in service["endpoints"]} - {None})
    if len(regions) > 1:
        raise UserError(
            f"each region has its own limits, and Nova is in {', '.join(regions)}: name one with "
            "--os-region-name"
        )
    return regions[0] if regions else None
