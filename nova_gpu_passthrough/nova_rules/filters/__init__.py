# SPDX-License-Identifier: Apache-2.0
"""The filters of nova-scheduler that decide by aggregates, images, tenants, groups and flavors.

Each filter is a function that returns the constraint that a host does not meet, or None. It raises
`NotJudgedError` if the answer depends on something that Nova's API does not show. ``server_fit``
restates the filters for PCI devices and NUMA nodes.
"""

from collections.abc import Callable, Mapping

from nova_gpu_passthrough.nova_rules.filters import (
    aggregate_filters,
    capability_filter,
    image_filters,
    server_filters,
)
from nova_gpu_passthrough.nova_rules.filters.model import (
    FilteredHost,
    FilteredServer,
)
from nova_gpu_passthrough.nova_rules.host_selection import SchedulerOptions
from nova_gpu_passthrough.nova_rules.refusal import FailedConstraint, Stage

HostFilter = Callable[[FilteredHost, FilteredServer, SchedulerOptions], FailedConstraint | None]

#: The filters by the component that they restate.
FILTERS: Mapping[Stage, HostFilter] = {
    Stage.AGGREGATE_IMAGE: aggregate_filters.image_metadata,
    Stage.AGGREGATE_EXTRA_SPECS: aggregate_filters.flavor_metadata,
    Stage.AGGREGATE_OPERATIONS: server_filters.aggregate_operation_limit,
    Stage.AGGREGATE_PROJECTS: aggregate_filters.project_isolation,
    Stage.AGGREGATE_SERVERS: server_filters.aggregate_server_limit,
    Stage.AGGREGATE_FLAVORS: aggregate_filters.flavor_names,
    Stage.CAPABILITIES: capability_filter.capabilities,
    Stage.DIFFERENT_HOST: server_filters.different_host,
    Stage.IMAGE: image_filters.image_properties,
    Stage.OPERATIONS: server_filters.operation_limit,
    Stage.ISOLATED_HOSTS: image_filters.isolated_images,
    Stage.QUERY: server_filters.query,
    Stage.METRICS: server_filters.host_metrics,
    Stage.SERVERS: server_filters.server_limit,
    Stage.SAME_HOST: server_filters.same_host,
    Stage.AFFINITY: server_filters.affinity,
    Stage.ANTI_AFFINITY: server_filters.anti_affinity,
    Stage.NETWORK: server_filters.network_of_host,
}
#: Nova's filters that are judged elsewhere, or pass every host.
OTHERS = frozenset(
    (
        "AllHostsFilter",
        # Services that are down or disabled.
        "ComputeFilter",
        "PciPassthroughFilter",
        Stage.GPU_FILTER.value,
        Stage.NUMA_FILTER.value,
    )
)
