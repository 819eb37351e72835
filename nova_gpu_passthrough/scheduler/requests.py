# SPDX-License-Identifier: Apache-2.0
"""Read what a RequestSpec requests of the PCI devices of its host."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nova import objects
from nova.compute import pci_placement_translator

from nova_gpu_passthrough import extra_specs
from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.topology.model import GpuRequest, GuestCell, NumaPolicy, PciRequest

#: Keys of an alias spec that Placement matches (``PciDeviceStats.ignored_spec_tags``).
_PLACEMENT_KEYS = frozenset(("resource_class", "traits", "rp_uuids"))


class PortRequest(NamedTuple):
    """The PCI request of an SR-IOV port."""

    pci_request: PciRequest
    #: Alternative sets of lower-case properties, one of which a pool must have.
    specs: tuple[dict[str, Any], ...]


class AliasRequest(NamedTuple):
    """The PCI request of one alias of the flavor."""

    pci_request: PciRequest
    #: As in `PortRequest`.
    specs: tuple[dict[str, Any], ...]
    #: None if only the devices that match it show whether it requests GPUs.
    is_gpu: bool | None
    #: Whether it requires traits, which the pools do not show.
    has_traits: bool = False


class ServerRequest(NamedTuple):
    """The PCI requests of a server that may request GPUs by an alias."""

    server: str
    aliases: tuple[AliasRequest, ...]
    extra_specs: extra_specs.GpuExtraSpecs
    guest_cells: tuple[GuestCell, ...]
    #: Placement's request groups by alias request id; empty without PCI in Placement.
    groups: Mapping[str, tuple[str, ...]]
    #: Why no host can serve the request; None if the request is valid.
    error: str | None = None
    ports: tuple[PortRequest, ...] = ()

    @property
    def certainly_gpu(self) -> bool:
        """Whether some alias requests GPUs whatever devices a host has."""
        return any(alias.is_gpu for alias in self.aliases)

    def gpu_request(self, gpu_ids: Iterable[str]) -> GpuRequest:
        """Return the GPU request for a host where the aliases with these ids request GPUs."""
        ids = set(gpu_ids)
        gpu_extra_specs = self.extra_specs
        return GpuRequest(
            tuple(alias.pci_request for alias in self.aliases if alias.pci_request.id in ids),
            tuple(alias.pci_request for alias in self.aliases if alias.pci_request.id not in ids),
            gpu_extra_specs.link,
            gpu_extra_specs.switch,
            gpu_extra_specs.numa,
            gpu_extra_specs.companions,
            self.guest_cells,
            tuple(port.pci_request for port in self.ports),
        )

    def __str__(self) -> str:
        return str(self.gpu_request(alias.pci_request.id for alias in self.aliases))


def read(
    spec_obj: "objects.RequestSpec", aliases: Iterable[str], resource_classes: Iterable[str]
) -> ServerRequest | None:
    """Read the aliases, NUMA cells and ``gpu:`` extra specs of a request.

    :param aliases: names of the aliases that the operator configured as requests for GPUs
    :param resource_classes: resource classes that the operator configured as GPUs
    :returns: None if the server requests no PCI devices by alias
    """
    pci_requests = spec_obj.pci_requests
    if not pci_requests or not pci_requests.requests:
        return None
    alias_requests = tuple(
        _alias_request(request, frozenset(aliases), frozenset(resource_classes))
        for request in pci_requests.requests
        if request.source == objects.InstancePCIRequest.FLAVOR_ALIAS
    )
    if not alias_requests:
        return None
    error = None
    gpu_extra_specs = extra_specs.GpuExtraSpecs()
    try:
        gpu_extra_specs = extra_specs.parse(spec_obj.flavor.extra_specs)
    except extra_specs.InvalidExtraSpecError as invalid:
        error = str(invalid)
    return ServerRequest(
        spec_obj.instance_uuid,
        alias_requests,
        gpu_extra_specs,
        guest_cells(spec_obj.numa_topology),
        _groups(spec_obj, alias_requests),
        error,
        tuple(
            PortRequest(_pci_request(request), _properties(request))
            for request in pci_requests.requests
            if request.source == objects.InstancePCIRequest.NEUTRON_PORT
        ),
    )


def guest_cells(topology: "objects.InstanceNUMATopology | None") -> tuple[GuestCell, ...]:
    """Return what the NUMA cells of the guest need; empty without a NUMA topology."""
    if not topology:
        return ()
    return tuple(
        GuestCell(len(cell.cpuset), len(cell.pcpuset), cell.memory) for cell in topology.cells
    )


def _groups(
    spec_obj: "objects.RequestSpec", alias_requests: Iterable[AliasRequest]
) -> Mapping[str, tuple[str, ...]]:
    """Return the names of Placement's request groups by alias request id.

    Nova makes one group per device, named ``<request id>-<n>`` (nova/objects/request_spec.py).
    """
    resources = spec_obj.requested_resources if "requested_resources" in spec_obj else None
    names = [group.requester_id for group in resources or () if group.requester_id]
    groups = {
        alias.pci_request.id: tuple(
            name for name in names if name.startswith(f"{alias.pci_request.id}-")
        )
        for alias in alias_requests
    }
    return groups if any(groups.values()) else {}


def _alias_request(
    request: "objects.InstancePCIRequest",
    aliases: frozenset[str],
    resource_classes: frozenset[str],
) -> AliasRequest:
    specs = request.spec
    is_gpu: bool | None = None
    if request.alias_name in aliases or any(
        _resource_class(spec) in resource_classes or _in_catalog(spec) for spec in specs
    ):
        is_gpu = True
    return AliasRequest(
        _pci_request(request),
        _properties(request),
        is_gpu,
        any(spec.get("traits") for spec in specs),
    )


def _pci_request(request: "objects.InstancePCIRequest") -> PciRequest:
    policy = NumaPolicy(request.numa_policy) if request.numa_policy else NumaPolicy.LEGACY
    return PciRequest(request.request_id, request.alias_name or "", request.count, policy)


def _properties(request: "objects.InstancePCIRequest") -> tuple[dict[str, Any], ...]:
    return tuple(
        {key: _lower(value) for key, value in spec.items() if key not in _PLACEMENT_KEYS}
        for spec in request.spec
    )


def _resource_class(spec: Mapping[str, Any]) -> str | None:
    name = spec.get("resource_class")
    if not name:
        return None
    resource_class: str = pci_placement_translator.get_resource_class(name, "", "")
    return resource_class


def _in_catalog(spec: Mapping[str, Any]) -> bool:
    vendor, product = spec.get("vendor_id"), spec.get("product_id")
    return bool(vendor and product and models.lookup(vendor.lower(), product.lower()))


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
