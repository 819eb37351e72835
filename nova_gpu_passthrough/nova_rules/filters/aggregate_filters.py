# SPDX-License-Identifier: Apache-2.0
"""Filters that decide by the metadata of the host's aggregates."""

from nova_gpu_passthrough.nova_rules.filters import extra_spec_operators
from nova_gpu_passthrough.nova_rules.filters.model import (
    FilteredHost,
    FilteredServer,
)
from nova_gpu_passthrough.nova_rules.host_selection import SchedulerOptions
from nova_gpu_passthrough.nova_rules.refusal import Constraint, FailedConstraint

#: Prefix of the metadata whose values are ids of projects (``TENANT_METADATA_KEY``).
TENANT_KEY = "filter_tenant_id"
_SCOPE = "aggregate_instance_extra_specs"
_TYPE_KEY = "instance_type"


def project_isolation(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """AggregateMultiTenancyIsolation: a host may be reserved for projects."""
    reserved = reserved_for(host)
    if not reserved or server.projects is None or server.projects & reserved:
        return None
    return FailedConstraint(
        Constraint.PROJECT,
        f"reserved for {'project' if len(reserved) == 1 else 'projects'} "
        f"{', '.join(sorted(reserved))} ({host.aggregates_with(TENANT_KEY)})",
    )


def is_tenant_key(key: str) -> bool:
    """Check whether a key of aggregate metadata reserves the hosts for projects."""
    return key.startswith(TENANT_KEY)


def reserved_for(host: FilteredHost) -> frozenset[str]:
    """Return the ids of the projects that AggregateMultiTenancyIsolation reserves the host for."""
    metadata = host.metadata
    return frozenset().union(*(values for key, values in metadata.items() if is_tenant_key(key)))


def flavor_metadata(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """AggregateInstanceExtraSpecsFilter: extra specs must match the metadata."""
    metadata = host.metadata
    for spec, requirement in server.extra_specs.items():
        scope, colon, rest = spec.partition(":")
        if colon and scope != _SCOPE:
            continue
        key = rest if colon else spec
        values = metadata.get(key)
        if not values:
            return FailedConstraint(
                Constraint.AGGREGATE,
                f"extra spec {spec} is {requirement!r}, and no aggregate of the host has {key}",
            )
        if not any(extra_spec_operators.matches(value, requirement) for value in values):
            return FailedConstraint(
                Constraint.AGGREGATE,
                f"extra spec {spec} is {requirement!r}, {key} of the host's aggregates is "
                f"{', '.join(sorted(values))}",
            )
    return None


def image_metadata(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """AggregateImagePropertiesIsolation: metadata named like image properties must match them."""
    namespace = options.aggregate_image_properties_isolation_namespace
    prefix = ""
    if namespace:
        prefix = namespace + options.aggregate_image_properties_isolation_separator
    metadata = {key: v for key, v in host.metadata.items() if key.startswith(prefix)}
    # Nova ignores other names: they are of no image property that it knows.
    if not any(key.startswith(("hw_", "img_", "os_")) for key in metadata):
        return None
    properties = server.properties
    for key, allowed in metadata.items():
        value = properties.get(key)
        if value and str(value) not in allowed:
            return FailedConstraint(
                Constraint.IMAGE,
                f"image property {key} is {value}, the host's aggregates allow "
                f"{', '.join(sorted(allowed))}",
            )
    return None


def flavor_names(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """AggregateTypeAffinityFilter: the metadata ``instance_type`` may name flavors."""
    allowed = host.metadata.get(_TYPE_KEY)
    if allowed is None or server.flavor in allowed:
        return None
    return FailedConstraint(
        Constraint.AGGREGATE,
        f"{host.aggregates_with(_TYPE_KEY)} of the host is for {_list_flavors(allowed)}",
    )


def _list_flavors(names: frozenset[str]) -> str:
    return f"{'flavor' if len(names) == 1 else 'flavors'} {', '.join(sorted(names))}"
