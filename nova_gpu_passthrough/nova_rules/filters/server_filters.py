# SPDX-License-Identifier: Apache-2.0
"""Filters that decide by the servers of the host: their number, server groups and hints."""

import ipaddress

from nova_gpu_passthrough.nova_rules.filters.model import (
    FilteredHost,
    FilteredServer,
    NotJudgedError,
)
from nova_gpu_passthrough.nova_rules.host_selection import SchedulerOptions
from nova_gpu_passthrough.nova_rules.refusal import Constraint, FailedConstraint

MAX_SERVERS = "max_instances_per_host"
_MAX_OPERATIONS = "max_io_ops_per_host"


def server_limit(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """NumInstancesFilter: a host may have at most so many servers."""
    return _too_many_servers(host, options.max_instances_per_host)


def aggregate_server_limit(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """AggregateNumInstancesFilter: the limit is in the metadata."""
    return _too_many_servers(host, max_servers_of_aggregates(host, options))


def max_servers_of_aggregates(host: FilteredHost, options: SchedulerOptions) -> int:
    """Return the limit of AggregateNumInstancesFilter."""
    return _smallest(host, MAX_SERVERS, options.max_instances_per_host)


def operation_limit(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """IoOpsFilter: a host may build, resize or rescue at most so many servers at once."""
    return _too_many_operations(host, options.max_io_ops_per_host)


def aggregate_operation_limit(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """AggregateIoOpsFilter: the limit is in the metadata."""
    return _too_many_operations(host, _smallest(host, _MAX_OPERATIONS, options.max_io_ops_per_host))


def anti_affinity(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """ServerGroupAntiAffinityFilter."""
    group = server.group
    if group is None or group.policy != "anti-affinity" or server.id in host.servers:
        return None
    here = host.servers & group.members
    if len(here) < group.max_servers_per_host:
        return None
    return FailedConstraint(
        Constraint.AFFINITY,
        f"the server group has the policy anti-affinity, and {len(here)} of its servers "
        f"{'is' if len(here) == 1 else 'are'} on the host",
    )


def affinity(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """ServerGroupAffinityFilter."""
    group = server.group
    if group is None or group.policy != "affinity" or not group.hosts or host.name in group.hosts:
        return None
    return FailedConstraint(
        Constraint.AFFINITY,
        "the server group has the policy affinity, and its servers are on "
        f"{', '.join(sorted(group.hosts))}",
    )


def same_host(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """SameHostFilter: the hint ``same_host`` names servers."""
    named = _ids(server, "same_host")
    if not named or named & host.servers:
        return None
    return FailedConstraint(
        Constraint.AFFINITY,
        f"hint same_host names {', '.join(sorted(named))}, which the host does not have",
    )


def different_host(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """DifferentHostFilter: the hint ``different_host`` names servers."""
    here = _ids(server, "different_host") & host.servers
    if not here:
        return None
    return FailedConstraint(
        Constraint.AFFINITY,
        f"hint different_host names {', '.join(sorted(here))}, which the host has",
    )


def network_of_host(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """SimpleCIDRAffinityFilter: the hint ``build_near_host_ip`` names the address of a host."""
    near = server.hint("build_near_host_ip")
    if not near:
        return None
    address = host.attributes.get("host_ip")
    if address is None:
        raise NotJudgedError("hint build_near_host_ip: the host's address is not known")
    network = ipaddress.ip_network(f"{near}{server.hint('cidr', '/24')}", strict=False)
    if ipaddress.ip_address(address) in network:
        return None
    return FailedConstraint(
        Constraint.AFFINITY, f"the hints require a host in {network}, its address is {address}"
    )


def query(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """JsonFilter: the hint ``query`` compares what the scheduler knows of hosts.

    :raises NotJudgedError: for every query
    """
    if server.hint("query"):
        raise NotJudgedError("hint query")
    return None


def host_metrics(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """MetricsFilter: the host must report the metrics of ``[metrics] weight_setting``.

    :raises NotJudgedError: always
    """
    raise NotJudgedError("metrics of hosts, which Nova's API does not show")


def _too_many_servers(host: FilteredHost, most: int) -> FailedConstraint | None:
    return too_many_servers(len(host.servers), most) if len(host.servers) >= most else None


def too_many_servers(servers: int, most: int) -> FailedConstraint:
    """Return the failed constraint of a host with so many servers."""
    return FailedConstraint(
        Constraint.SERVERS, f"the host has {servers} servers, and {MAX_SERVERS} is {most}"
    )


def _too_many_operations(host: FilteredHost, most: int) -> FailedConstraint | None:
    if host.io_operations < most:
        return None
    return FailedConstraint(
        Constraint.SERVERS,
        f"the host builds, resizes or rescues {host.io_operations} servers, and "
        f"{_MAX_OPERATIONS} is {most}",
    )


def _smallest(host: FilteredHost, key: str, default: int) -> int:
    """Return the smallest value of all aggregates; the default if one is not a number.

    Restates ``validate_num_values`` in nova/scheduler/filters/utils.py.
    """
    values = [metadata[key] for metadata in host.aggregates.values() if key in metadata]
    try:
        return min(map(int, values), default=default)
    except ValueError:
        return default


def _ids(server: FilteredServer, name: str) -> frozenset[str]:
    value = server.hint(name) or ()
    return frozenset((value,) if isinstance(value, str) else value)
