# SPDX-License-Identifier: Apache-2.0
"""What a RequestSpec asks of the PCI devices of its host."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from nova import objects
from nova.compute import pci_placement_translator
from nova.virt import hardware

from nova_gpu_passthrough import extra_specs
from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.topology.fit import DeviceChoice
from nova_gpu_passthrough.topology.model import Demand, GpuRequest, GuestCell, NumaPolicy

if TYPE_CHECKING:
    from nova.scheduler.host_manager import HostState


#: Keys of an alias that Placement matches, not the pools (``PciDeviceStats.ignored_spec_tags``).
_PLACEMENT_KEYS = frozenset(("resource_class", "traits", "rp_uuids"))


class AliasRequest(NamedTuple):
    """One PCI alias of the flavor."""

    demand: Demand
    #: Alternatives of lower-case properties that a pool must have.
    specs: tuple[dict[str, Any], ...]
    #: None if only the devices that serve it can tell.
    is_gpu: bool | None
    #: Whether it asks for traits, which the pools do not show.
    has_traits: bool = False


class ServerRequest(NamedTuple):
    """The PCI aliases of a server that may ask for GPUs."""

    server: str
    aliases: tuple[AliasRequest, ...]
    extra_specs: extra_specs.GpuExtraSpecs
    guest_cells: tuple[GuestCell, ...]
    #: Placement's request groups by alias request id; empty without PCI in Placement.
    groups: Mapping[str, tuple[str, ...]]
    #: Why no host can serve the request, whatever it offers.
    error: str | None = None

    @property
    def certainly_gpu(self) -> bool:
        """Whether any alias asks for GPUs on every host."""
        return any(alias.is_gpu for alias in self.aliases)

    def gpu_request(self, gpu_ids: Iterable[str]) -> GpuRequest:
        """The request as fit sees it, where the aliases with these ids ask for GPUs."""
        ids = set(gpu_ids)
        wishes = self.extra_specs
        return GpuRequest(
            tuple(alias.demand for alias in self.aliases if alias.demand.id in ids),
            tuple(alias.demand for alias in self.aliases if alias.demand.id not in ids),
            wishes.link,
            wishes.switch,
            wishes.numa,
            wishes.companions,
            self.guest_cells,
        )

    def __str__(self) -> str:
        return str(self.gpu_request(alias.demand.id for alias in self.aliases))


def read(
    spec_obj: "objects.RequestSpec", aliases: Iterable[str], resource_classes: Iterable[str]
) -> ServerRequest | None:
    """Read the aliases, NUMA cells and ``gpu:`` extra specs of a request.

    :param aliases: names of aliases that ask for GPUs by the operator's word
    :param resource_classes: resource classes that are GPUs by the operator's word
    :returns: None if the server asks for no PCI devices by alias; requests of Neutron ports are
        not ours
    """
    pci_requests = spec_obj.pci_requests
    if not pci_requests or not pci_requests.requests:
        return None
    wanted = tuple(
        _alias_request(request, frozenset(aliases), frozenset(resource_classes))
        for request in pci_requests.requests
        if request.source == objects.InstancePCIRequest.FLAVOR_ALIAS
    )
    if not wanted:
        return None
    error = None
    wishes = extra_specs.GpuExtraSpecs()
    try:
        wishes = extra_specs.parse(spec_obj.flavor.extra_specs)
    except extra_specs.InvalidExtraSpecError as invalid:
        error = str(invalid)
    return ServerRequest(
        spec_obj.instance_uuid,
        wanted,
        wishes,
        guest_cells(spec_obj.numa_topology),
        _groups(spec_obj, wanted),
        error,
    )


def guest_cells(topology: "objects.InstanceNUMATopology | None") -> tuple[GuestCell, ...]:
    """What the guest's NUMA cells need; empty without a NUMA topology."""
    if not topology:
        return ()
    return tuple(
        GuestCell(len(cell.cpuset), len(cell.pcpuset), cell.memory) for cell in topology.cells
    )


def _groups(
    spec_obj: "objects.RequestSpec", wanted: Iterable[AliasRequest]
) -> Mapping[str, tuple[str, ...]]:
    """One group per device, named ``<request id>-<n>`` (nova/objects/request_spec.py)."""
    requested = spec_obj.requested_resources if "requested_resources" in spec_obj else None
    names = [group.requester_id for group in requested or () if group.requester_id]
    groups = {
        alias.demand.id: tuple(name for name in names if name.startswith(f"{alias.demand.id}-"))
        for alias in wanted
    }
    return groups if any(groups.values()) else {}


def _alias_request(
    request: "objects.InstancePCIRequest",
    aliases: frozenset[str],
    resource_classes: frozenset[str],
) -> AliasRequest:
    policy = NumaPolicy(request.numa_policy) if request.numa_policy else NumaPolicy.LEGACY
    specs = [dict(spec) for spec in request.spec]
    is_gpu: bool | None = None
    if request.alias_name in aliases or any(
        _resource_class(spec) in resource_classes or _in_catalog(spec) for spec in specs
    ):
        is_gpu = True
    return AliasRequest(
        Demand(request.request_id, request.alias_name, request.count, policy),
        tuple(
            {k: _lower(v) for k, v in spec.items() if k not in _PLACEMENT_KEYS} for spec in specs
        ),
        is_gpu,
        any(spec.get("traits") for spec in specs),
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


def surely_fits(
    host_state: "HostState", spec_obj: "objects.RequestSpec", choice: DeviceChoice
) -> bool:
    """Whether the guest fits on the very NUMA nodes of the chosen devices, by Nova's own rules.

    Then every device is local to the guest, which satisfies any NUMA policy, and no second choice
    is needed. False means only that one may be needed. The question costs a thirtieth of what the
    filters behind this one spend on a second choice.
    """
    nodes = {device.numa_node for devices in choice.devices.values() for device in devices}
    guest, host = spec_obj.numa_topology, host_state.numa_topology
    if not guest or not host or len(nodes) != len(guest.cells):
        return False
    if len({(len(c.cpuset), len(c.pcpuset), c.memory, c.pagesize) for c in guest.cells}) > 1:
        # Given all cells of the host, Nova may refuse a guest whose cells differ although it fits:
        # its caches of what fits go by the guest cell's id, which it overwrites with the host
        # cell's as it tries (numa_fit_instance_to_host in nova/virt/hardware.py, Nova 31 to 34).
        return False
    cells = [cell for cell in host.cells if cell.id in nodes]
    if len(cells) != len(nodes):
        return False
    # The same limits as in NUMATopologyFilter.
    limits = objects.NUMATopologyLimits(
        cpu_allocation_ratio=host_state.cpu_allocation_ratio,
        ram_allocation_ratio=host_state.ram_allocation_ratio,
    )
    if "network_metadata" in spec_obj and spec_obj.network_metadata:
        limits.network_metadata = spec_obj.network_metadata
    # A copy, since Nova writes the pinning into the guest's topology.
    fitted = hardware.numa_fit_instance_to_host(
        objects.NUMATopology(cells=cells), guest.obj_clone(), None, limits=limits
    )
    return fitted is not None
