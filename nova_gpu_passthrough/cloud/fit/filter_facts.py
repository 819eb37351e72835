# SPDX-License-Identifier: Apache-2.0
"""Convert hosts, flavors and servers of the cloud to what nova-scheduler's filters know of them."""

from collections.abc import Collection, Mapping
from typing import Any

from nova_gpu_passthrough.cloud.view.model import CloudFlavor, CloudHost, Server
from nova_gpu_passthrough.nova_rules.filters.model import FilteredHost, FilteredServer

#: Tasks that count as I/O operations (``io_workload`` in nova/compute/stats.py), besides BUILD.
_OPERATIONS = frozenset(
    (
        "resize_migrating",
        "rebuilding",
        "resize_prep",
        "image_snapshot",
        "image_backup",
        "rescuing",
        "unshelving",
    )
)
_BUILDING = "BUILD"
_LIBVIRT = "QEMU"


def of_host(host: CloudHost) -> FilteredHost:
    """Convert a host."""
    return FilteredHost(
        host.compute_host or host.name,
        host.aggregates,
        frozenset(server.id for server in host.servers),
        sum(map(_is_operation, host.servers)),
        host.attributes,
        _supported_instances(host.attributes),
    )


def of_flavor(flavor: CloudFlavor, project: str | None = None) -> FilteredServer:
    """Convert a further server of a flavor, from an image without properties.

    :param project: id of the server's project; None: any project that may use the flavor
    """
    projects: Collection[str] | None = flavor.projects
    if project is not None:
        projects = (project,)
    return FilteredServer(
        flavor.name, flavor.extra_specs, None if projects is None else frozenset(projects)
    )


def _is_operation(server: Server) -> bool:
    return server.status == _BUILDING or server.task_state in _OPERATIONS


def _supported_instances(
    attributes: Mapping[str, Any],
) -> tuple[tuple[str, str, str], ...] | None:
    """Return what libvirt usually reports of a host; None for another hypervisor."""
    cpu_info = attributes.get("cpu_info")
    architecture = cpu_info.get("arch") if isinstance(cpu_info, Mapping) else None
    if attributes.get("hypervisor_type") != _LIBVIRT or not architecture:
        return None
    architectures = [architecture, *(["i686"] if architecture == "x86_64" else [])]
    return tuple((name, kind, "hvm") for name in architectures for kind in ("kvm", "qemu"))
