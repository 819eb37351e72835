# SPDX-License-Identifier: Apache-2.0
"""Filters that decide by the server's image: ImagePropertiesFilter and IsolatedHostsFilter."""

from oslo_utils import versionutils

from nova_gpu_passthrough.nova_rules.filters.model import (
    FilteredHost,
    FilteredServer,
    NotJudgedError,
)
from nova_gpu_passthrough.nova_rules.host_selection import SchedulerOptions
from nova_gpu_passthrough.nova_rules.refusal import Constraint, FailedConstraint

_MAX_BITS = "hw_maxphysaddr_bits"


def image_properties(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """ImagePropertiesFilter: the host's hypervisor must support what the image requires."""
    properties = server.properties
    required = {
        name: value
        for name, value in (
            (
                "hw_architecture",
                properties.get("hw_architecture", options.image_properties_default_architecture),
            ),
            ("img_hv_type", properties.get("img_hv_type")),
            ("hw_vm_mode", properties.get("hw_vm_mode")),
        )
        if value
    }
    if not required:
        return None
    text = ", ".join(f"{name} {value}" for name, value in required.items())
    if host.supported_instances is None:
        raise NotJudgedError(f"{text} of the image: the host's hypervisor is not known")
    supported = [one for one in host.supported_instances if {*required.values()} <= {*one}]
    if not supported:
        offered = ", ".join(dict.fromkeys("/".join(one) for one in host.supported_instances))
        return FailedConstraint(
            Constraint.IMAGE, f"the image requires {text}, the host supports {offered or 'nothing'}"
        )
    version = host.attributes.get("hypervisor_version")
    requested = properties.get("img_hv_requested_version")
    if version and requested and not _has_version(version, requested):
        return FailedConstraint(
            Constraint.IMAGE,
            f"the image requires hypervisor version {requested}, the host has "
            f"{versionutils.convert_version_to_str(version)}",
        )
    if properties.get(_MAX_BITS):
        # It looks up the bits in the text of cpu_info as if it were a dictionary.
        return FailedConstraint(
            Constraint.IMAGE,
            f"image property {_MAX_BITS} together with {text} makes ImagePropertiesFilter fail; "
            f"set hw:maxphysaddr_bits in the flavor instead",
        )
    return None


def isolated_images(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """IsolatedHostsFilter: some hosts are for some images."""
    host_isolated = host.name in options.isolated_hosts
    image_isolated = server.image_id is not None and server.image_id in options.isolated_images
    exclusive = options.restrict_isolated_hosts_to_isolated_images
    if host_isolated and exclusive and not image_isolated:
        return FailedConstraint(
            Constraint.IMAGE,
            "the host is one of isolated_hosts, and takes only the images of isolated_images",
        )
    if image_isolated and not host_isolated:
        return FailedConstraint(
            Constraint.IMAGE,
            "the image is one of isolated_images, and the host is none of isolated_hosts",
        )
    return None


def _has_version(version: int, requested: str) -> bool:
    text = versionutils.convert_version_to_str(version)
    return bool(versionutils.VersionPredicate(requested).satisfied_by(text))
