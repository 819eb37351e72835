# SPDX-License-Identifier: Apache-2.0
"""The options of nova-scheduler that its filters and its requests to Placement read."""

from dataclasses import dataclass, field

_SCHEDULER = {"section": "scheduler"}
_FILTER_SCHEDULER = {"section": "filter_scheduler"}


@dataclass(frozen=True)
class SchedulerOptions:
    """The options of nova-scheduler that decide which hosts a server may use; Nova's defaults.

    The metadata ``section`` of a field is the section of ``nova.conf``.
    """

    #: IsolatedHostsFilter: ids of images, names of hosts, and whether these hosts take no others.
    isolated_images: tuple[str, ...] = field(default=(), metadata=_FILTER_SCHEDULER)
    isolated_hosts: tuple[str, ...] = field(default=(), metadata=_FILTER_SCHEDULER)
    restrict_isolated_hosts_to_isolated_images: bool = field(
        default=True, metadata=_FILTER_SCHEDULER
    )
    #: NumInstancesFilter and IoOpsFilter; metadata of aggregates can lower them.
    max_instances_per_host: int = field(default=50, metadata=_FILTER_SCHEDULER)
    max_io_ops_per_host: int = field(default=8, metadata=_FILTER_SCHEDULER)
    #: ImagePropertiesFilter.
    image_properties_default_architecture: str | None = field(
        default=None, metadata=_FILTER_SCHEDULER
    )
    #: AggregateImagePropertiesIsolation.
    aggregate_image_properties_isolation_namespace: str | None = field(
        default=None, metadata=_FILTER_SCHEDULER
    )
    aggregate_image_properties_isolation_separator: str = field(
        default=".", metadata=_FILTER_SCHEDULER
    )
    #: Requests to Placement (``nova_rules.filters.request_filters``).
    limit_tenants_to_placement_aggregate: bool = field(default=False, metadata=_SCHEDULER)
    placement_aggregate_required_for_tenants: bool = field(default=False, metadata=_SCHEDULER)
    enable_isolated_aggregate_filtering: bool = field(default=False, metadata=_SCHEDULER)
    image_metadata_prefilter: bool = field(default=False, metadata=_SCHEDULER)
    query_placement_for_image_type_support: bool = field(default=False, metadata=_SCHEDULER)
