# SPDX-License-Identifier: Apache-2.0
"""Reads from the cloud what the checks look at.

Takes the role admin: see ``cloud.view.read`` and ``cloud.apply.plan``.
"""

from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud.apply import plan
from nova_gpu_passthrough.cloud.apply.api import Api
from nova_gpu_passthrough.cloud.apply.change import Kind
from nova_gpu_passthrough.cloud.apply.limits import driver, unified
from nova_gpu_passthrough.cloud.apply.record import Record
from nova_gpu_passthrough.cloud.lint.facts import Cloud
from nova_gpu_passthrough.cloud.view import read as view
from nova_gpu_passthrough.cloud.view.api import Tell
from nova_gpu_passthrough.fleet.desired import Desired
from nova_gpu_passthrough.fleet.model import QuotaDriver

if TYPE_CHECKING:
    from openstack.connection import Connection

    from nova_gpu_passthrough.fleet.resolve import Resolved


def read(
    connection: "Connection",
    resolved: "Resolved",
    desired: Desired,
    record: Record | None = None,
    tell: Tell | None = None,
) -> Cloud:
    """Read the cloud; nothing is changed.

    :param record: of what was applied last; tells which of what is too much was made by apply
    :param tell: gets to know how far the reading is
    :raises UserError: with the part that could not be read, and why
    :raises openstack.exceptions.SDKException, keystoneauth1.exceptions.ClientException: see
        ``cloud.failures``
    """
    found = view.read(connection, resolved, tell=tell)
    api = Api(connection, tell)
    pending = plan.compare(api, desired, record)
    traits = frozenset(api.placement("/traits")["traits"])
    limits = note = None
    if desired.quota_driver == QuotaDriver.UNIFIED_LIMITS:
        registered = unified.place(api).find(api, Kind.REGISTERED_LIMIT)
        limits = {one["resource_name"]: one["default_limit"] for one in registered}
    if desired.limits:
        shown = api.nova("/os-quota-class-sets/default")["quota_class_set"]
        note = driver.note(desired.quota_driver, shown, limits or {})
    return Cloud(found, pending, traits, limits, note)
