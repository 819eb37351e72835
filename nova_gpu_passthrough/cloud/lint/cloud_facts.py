# SPDX-License-Identifier: Apache-2.0
"""The state of the cloud that the checks compare, and reading it.

Reading requires the role admin: see ``cloud.view.read`` and ``cloud.apply.comparison``. No other
module of lint talks to a cloud.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from nova_gpu_passthrough.cloud.apply import comparison, quotas
from nova_gpu_passthrough.cloud.apply.change import ResourceKind
from nova_gpu_passthrough.cloud.apply.plan import Plan
from nova_gpu_passthrough.cloud.apply.projects import Projects, UnknownProject
from nova_gpu_passthrough.cloud.apply.record import Record
from nova_gpu_passthrough.cloud.apply.unified_limits import LimitScope
from nova_gpu_passthrough.cloud.apply.writer import CloudWriter
from nova_gpu_passthrough.cloud.view import read as view
from nova_gpu_passthrough.cloud.view.model import CloudView
from nova_gpu_passthrough.cloud.view.reader import Progress
from nova_gpu_passthrough.fleet.desired_state import DesiredState, ProjectName

if TYPE_CHECKING:
    from openstack.connection import Connection

    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet


class ProjectLimit(NamedTuple):
    """A limit of one project on one resource."""

    id: str
    value: int


@dataclass(frozen=True)
class CloudFacts:
    """The state of the cloud that the checks compare."""

    view: CloudView
    #: What ``nova-gpu apply`` would do.
    plan: Plan
    #: All traits in Placement.
    traits: frozenset[str]
    #: Keystone's registered limits of Nova, by resource; None if they were not read.
    registered_limits: Mapping[str, int] | None = None
    #: Why the fleet file's quota driver does not seem to be active; None if it does.
    driver_note: str | None = None
    #: Whether Nova seems to use unified limits.
    unified: bool = False
    #: The service and the region of Nova's limits in Keystone; None if they were not read.
    limit_scope: LimitScope | None = None
    #: Projects' own limits in Keystone, by id of the project and resource.
    project_limits: Mapping[str, Mapping[str, ProjectLimit]] = field(default_factory=dict)
    #: Ids of the projects that the fleet file names; without those that do not exist.
    project_ids: Mapping[ProjectName, str] = field(default_factory=dict)
    #: Names of all projects by id.
    project_names: Mapping[str, str] = field(default_factory=dict)


def read(
    connection: "Connection",
    resolved: "ResolvedFleet",
    desired: DesiredState,
    record: Record | None = None,
    progress: Progress | None = None,
    known_view: CloudView | None = None,
) -> CloudFacts:
    """Read the cloud without changing it.

    :param record: what was applied last, which identifies superfluous objects that apply created
    :param progress: reports what is being read
    :param known_view: what was read of hosts, servers and flavors already
    :raises UserError: if something cannot be read, with the reason
    :raises openstack.exceptions.SDKException, keystoneauth1.exceptions.ClientException: see
        ``cloud.failures``
    """
    cloud_view = known_view or view.read(connection, resolved, progress=progress)
    api = CloudWriter(connection, progress)
    plan = comparison.compare(api, desired, record)
    traits = frozenset(api.placement("/traits")["traits"])
    state = quotas.read_quota_state(api, desired)
    return CloudFacts(
        cloud_view,
        plan,
        traits,
        state.registered_limits,
        state.driver_note,
        state.unified,
        state.scope,
        _project_limits(api, state.scope) if state.scope else {},
        _project_ids(api, resolved) if state.scope else {},
        _project_names(api) if state.scope else {},
    )


def _project_limits(api: CloudWriter, scope: LimitScope) -> dict[str, dict[str, ProjectLimit]]:
    limits: dict[str, dict[str, ProjectLimit]] = {}
    for limit in scope.list_limits(api, ResourceKind.PROJECT_LIMIT):
        # Domains have limits, too.
        if project := limit.get("project_id"):
            value = ProjectLimit(limit["id"], limit["resource_limit"])
            limits.setdefault(project, {})[limit["resource_name"]] = value
    return limits


def _project_ids(api: CloudWriter, resolved: "ResolvedFleet") -> dict[ProjectName, str]:
    projects, ids = Projects(api), {}
    for one in resolved.file.projects:
        name = ProjectName(one.name, one.domain)
        # The plan of apply reports unknown projects.
        with contextlib.suppress(UnknownProject):
            ids[name] = projects.id(name)
    return ids


def _project_names(api: CloudWriter) -> dict[str, str]:
    return {project["id"]: project["name"] for project in api.keystone("/projects")["projects"]}
