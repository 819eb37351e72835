# SPDX-License-Identifier: Apache-2.0
"""What nova-scheduler adds to the request to Placement: aggregates and traits.

Restates nova/scheduler/request_filter.py.
"""

from collections.abc import Collection, Iterator, Mapping

import os_traits

from nova_gpu_passthrough.nova_rules.filters.aggregate_filters import is_tenant_key
from nova_gpu_passthrough.nova_rules.filters.model import (
    FilteredHost,
    FilteredServer,
    NotJudgedError,
)
from nova_gpu_passthrough.nova_rules.host_selection import SchedulerOptions
from nova_gpu_passthrough.nova_rules.refusal import Constraint, FailedConstraint

#: Metadata by name of the aggregate.
_Aggregates = Mapping[str, Mapping[str, str]]

ZONE_KEY = "availability_zone"
_TRAIT_PREFIX = "trait:"
#: Prefixes of traits by image property.
_IMAGE_TRAITS = {
    "hw_cdrom_bus": "COMPUTE_STORAGE_BUS",
    "hw_disk_bus": "COMPUTE_STORAGE_BUS",
    "hw_video_model": "COMPUTE_GRAPHICS_MODEL",
    "hw_vif_model": "COMPUTE_NET_VIF_MODEL",
    "hw_architecture": "HW_ARCH",
    "hw_emulation_architecture": "COMPUTE_ARCH",
    "hw_viommu_model": "COMPUTE_VIOMMU",
}


def failed_by_zone(
    host: FilteredHost, server: FilteredServer, aggregates: _Aggregates
) -> Iterator[FailedConstraint]:
    """Check the availability zone (``map_az_to_placement_aggregate``).

    :param aggregates: all aggregates of the cloud
    """
    zone = server.zone
    if zone is None or not _with_zone(aggregates, zone) or _with_zone(host.aggregates, zone):
        return
    zones = {metadata[ZONE_KEY] for metadata in host.aggregates.values() if ZONE_KEY in metadata}
    yield FailedConstraint(
        Constraint.AGGREGATE,
        f"the server must be in availability zone {zone}, the host is in "
        f"{', '.join(sorted(zones)) or 'none'}",
    )


def failed_by_project(
    host: FilteredHost,
    server: FilteredServer,
    aggregates: _Aggregates,
    options: SchedulerOptions,
) -> Iterator[FailedConstraint]:
    """Check the aggregates of the project (``require_tenant_aggregate``).

    :param aggregates: all aggregates of the cloud
    """
    if not options.limit_tenants_to_placement_aggregate or server.projects is None:
        return
    own: set[str] = set()
    for project in server.projects:
        found = _of_project(aggregates, project)
        if not (found or options.placement_aggregate_required_for_tenants):
            return
        if found & host.aggregates.keys():
            return
        own |= found
    where = (
        f"only on hosts of {', '.join(sorted(own))}" if own else "on no host: it has no aggregate"
    )
    yield FailedConstraint(
        Constraint.PROJECT,
        f"limit_tenants_to_placement_aggregate allows the project's servers {where}",
    )


def failed_by_isolation(
    host: FilteredHost,
    required: Collection[str],
    options: SchedulerOptions,
) -> Iterator[FailedConstraint]:
    """Check the traits that an aggregate requires of its servers (``isolate_aggregates``).

    :param required: all traits that flavor, image and aliases require
    """
    if not options.enable_isolated_aggregate_filtering:
        return
    for name, metadata in sorted(host.aggregates.items()):
        traits = [
            key.removeprefix(_TRAIT_PREFIX)
            for key, value in sorted(metadata.items())
            if key.startswith(_TRAIT_PREFIX) and value == "required"
        ]
        missing = [trait for trait in traits if trait not in required]
        if missing:
            yield FailedConstraint(
                Constraint.AGGREGATE,
                f"aggregate {name} is only for servers that require {', '.join(missing)}",
            )


def image_traits(server: FilteredServer, options: SchedulerOptions) -> frozenset[str]:
    """Return the traits that Nova requires for image properties (``transform_image_metadata``).

    :raises NotJudgedError: if the image properties are not known
    """
    if options.query_placement_for_image_type_support and server.image_properties is not None:
        raise NotJudgedError(
            "the disk format of the image (query_placement_for_image_type_support)"
        )
    if not options.image_metadata_prefilter:
        return frozenset()
    properties = server.properties
    traits = {
        f"{prefix}_{properties[name].replace('-', '_').upper()}"
        for name, prefix in _IMAGE_TRAITS.items()
        if name in properties
    }
    # Nova then requires none of them.
    return frozenset(traits if all(hasattr(os_traits, trait) for trait in traits) else ())


def _with_zone(aggregates: _Aggregates, zone: str) -> bool:
    return any(metadata.get(ZONE_KEY) == zone for metadata in aggregates.values())


def _of_project(aggregates: _Aggregates, project: str) -> frozenset[str]:
    return frozenset(
        name
        for name, metadata in aggregates.items()
        if any(is_tenant_key(key) and value == project for key, value in metadata.items())
    )
