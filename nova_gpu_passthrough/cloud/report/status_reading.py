# SPDX-License-Identifier: Apache-2.0
"""Read what the status summarizes: hosts and servers once, then quotas, then what lint compares.

A user who may not read hosts gets the quota of the own project. Anything else that the user may not
read is left out, with a note.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openstack import exceptions

from nova_gpu_passthrough.cloud import failures
from nova_gpu_passthrough.cloud.quota import project_quotas
from nova_gpu_passthrough.cloud.quota.model import CloudQuotas
from nova_gpu_passthrough.cloud.quota.project_usage import ListedProject
from nova_gpu_passthrough.cloud.report import fleet_status, snapshot, tables
from nova_gpu_passthrough.cloud.report.fleet_status import FleetStatus
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.view.model import CloudView
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.inventory.findings import Finding

if TYPE_CHECKING:
    from openstack.connection import Connection

    from nova_gpu_passthrough.cloud.view.reader import Progress
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet


@dataclass(frozen=True)
class StatusReading:
    """The status, and what is missing or uncertain in it."""

    status: FleetStatus
    #: One sentence each.
    notes: tuple[str, ...]
    #: Whether hosts were readable.
    complete: bool = True


def read(
    connection: "Connection",
    resolved: "ResolvedFleet | None" = None,
    progress: "Progress | None" = None,
) -> StatusReading:
    """Read the cloud and summarize it.

    :raises UserError, openstack.exceptions.SDKException, keystoneauth1.exceptions.ClientException:
        see ``cloud.failures``
    """
    try:
        taken = snapshot.take(connection, resolved, progress)
    except exceptions.ForbiddenException as error:
        return _of_own_project(connection, resolved, error)
    return of_snapshot(connection, taken, resolved, progress)


def of_snapshot(
    connection: "Connection",
    taken: Snapshot,
    resolved: "ResolvedFleet | None" = None,
    progress: "Progress | None" = None,
) -> StatusReading:
    """Summarize a snapshot, with quotas and what lint compares; notes are those of the latter."""
    notes: list[str] = []
    owners = {server.project_id for server in taken.view.device_servers}

    def select(
        listed: tuple[ListedProject, ...], with_limits: Collection[str]
    ) -> Iterable[ListedProject]:
        known = {project.id: project for project in listed}
        wanted = sorted(owners | {*with_limits})
        # Some projects may have been deleted, and others may be hidden.
        return [known.get(key) or ListedProject(key, key) for key in wanted]

    quotas: CloudQuotas | None = None
    try:
        quotas = project_quotas.read(connection, resolved, progress, select)
        notes += quotas.notes
    except (UserError, exceptions.ForbiddenException) as error:
        notes.append(f"quotas are not shown: {_sentence(connection, error)}")
    findings: Iterable[Finding] = ()
    if resolved is None:
        notes.append(
            "without a fleet file (--fleet) it is not known which servers still fit, which GPUs "
            "are missing or stranded, and whether fleet file and cloud agree"
        )
    else:
        try:
            findings = _lint(connection, resolved, taken.view, progress)
        except (UserError, exceptions.ForbiddenException) as error:
            notes.append(f"fleet file and cloud are not compared: {_sentence(connection, error)}")
    status = fleet_status.make(taken, quotas, findings)
    of_capacity = tables.notes(taken) if resolved else [*taken.view.notes, *taken.notes]
    return StatusReading(status, tuple(dict.fromkeys((*of_capacity, *notes))))


def _of_own_project(
    connection: "Connection", resolved: "ResolvedFleet | None", error: Exception
) -> StatusReading:
    """Return the quota of the caller's project; raise the error again if not even that is known."""
    try:
        quotas = project_quotas.read(connection, resolved)
    except (UserError, exceptions.ForbiddenException):
        raise error from None
    import datetime

    status = FleetStatus(
        datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        snapshot.cloud_name(connection),
        resolved.file.name if resolved else "",
        quotas=fleet_status.quota_use(quotas),
    )
    hidden = f"hosts are not shown: {_sentence(connection, error)}"
    notes = (hidden, *quotas.notes, "for what your project can boot: nova-gpu available")
    return StatusReading(status, notes, complete=False)


def _lint(
    connection: "Connection",
    resolved: "ResolvedFleet",
    view: CloudView,
    progress: "Progress | None",
) -> tuple[Finding, ...]:
    """Return what lint finds without the configuration of services."""
    from nova_gpu_passthrough.cloud.apply import record
    from nova_gpu_passthrough.cloud.lint import checks, cloud_facts
    from nova_gpu_passthrough.cloud.lint.facts import Facts
    from nova_gpu_passthrough.fleet import derive_state

    desired, flavors = derive_state.make(resolved)
    path = record.default_path(resolved.file.path)
    known = record.load(path)
    if known is not None:
        known.check(desired.fleet, record.cloud_identity(connection), path)
    facts = cloud_facts.read(connection, resolved, desired, known, progress, view)
    return checks.findings(Facts(resolved, desired, flavors, (), facts))


def _sentence(connection: "Connection", error: Exception) -> str:
    return failures.error_text(error, connection=connection) or str(error)
