# SPDX-License-Identifier: Apache-2.0
"""Nova's objects for hosts and guests of this package's model, to compare both."""

import uuid

from nova import objects
from nova.virt import hardware

from nova_gpu_passthrough.topology.model import FreeGpu
from tests.unit import builders


def flavor(vcpus, memory, extra_specs):
    return objects.Flavor(
        vcpus=vcpus, memory_mb=memory, root_gb=1, ephemeral_gb=0, swap=0, extra_specs=extra_specs
    )


def image():
    return objects.ImageMeta(properties=objects.ImageMetaProps())


def guest(vcpus, memory, extra_specs):
    """Return Nova's guest topology of a flavor; raise if Nova refuses the flavor."""
    return hardware.numa_get_constraints(flavor(vcpus, memory, extra_specs), image())


def cell(host_cell):
    """Return Nova's NUMACell for a HostCell."""
    return objects.NUMACell(
        id=host_cell.id,
        cpuset=set(host_cell.shared),
        pcpuset=set(host_cell.dedicated),
        pinned_cpus=set(host_cell.pinned),
        siblings=[set(core) for core in host_cell.siblings],
        memory=host_cell.memory_mib,
        memory_usage=host_cell.used_mib,
        cpu_usage=host_cell.shared_used,
        mempages=[
            objects.NUMAPagesTopology(
                size_kb=p.size_kib, total=p.total, used=p.used, reserved=p.reserved
            )
            for p in host_cell.pages
        ],
        network_metadata=objects.NetworkMetadata(physnets=set(), tunneled=False),
        socket=host_cell.socket,
    )


def topology(cells):
    return objects.NUMATopology(cells=[cell(host_cell) for host_cell in cells])


# -- hosts with devices ----------------------------------------------------------------------

IDS = {"CUSTOM_H100": ("10de", "2330"), "CUSTOM_NIC": ("15b3", "101e")}


def host_state(capacity, name="host"):
    """Return nova-scheduler's state of a host with this capacity."""
    state = builders.host_state(name, pools(capacity, name))
    state.numa_topology = topology(capacity.cells) if capacity.cells else None
    state.pci_stats.numa_topology = state.numa_topology
    state.cpu_allocation_ratio, state.ram_allocation_ratio = capacity.ratios
    return state


def pools(capacity, name="host"):
    """Return Nova's pools, with devices that are only reserved in Placement."""
    nova_pools = []
    for device_capacity in capacity.devices:
        if not device_capacity.pooled:
            continue
        device = device_capacity.device
        vendor, product = IDS[device_capacity.resource_class]
        pool = {
            "vendor_id": vendor,
            "product_id": product,
            "numa_node": device.numa_node,
            "dev_type": "type-PCI",
            "count": device_capacity.pooled,
            "address": device.address,
            "rp_uuid": builders.provider_of(name, device.address),
        }
        tag_values = {"gpu_switch": device.switch, "gpu_card": device.card}
        if isinstance(device, FreeGpu):
            tag_values |= {"gpu_model": device.model, "gpu_link_group": "/".join(device.link_group)}
        nova_pools.append(pool | {key: value for key, value in tag_values.items() if value})
    return nova_pools


def request_spec(server_demand, vcpus, memory, extra_specs):
    """Return the request for a server; raise if Nova refuses the flavor."""
    pci_requests = [
        objects.InstancePCIRequest(
            count=pci_request.count,
            spec=[
                dict(
                    zip(("vendor_id", "product_id"), IDS[device_class.resource_class], strict=True)
                )
            ],
            alias_name=pci_request.alias,
            request_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, pci_request.id)),
            requester_id=None,
            numa_policy=pci_request.numa_policy.value,
            is_new=False,
        )
        for pci_request, device_class in server_demand.pci_requests
    ]
    spec = builders.request_spec(*pci_requests, in_placement=True, vcpus=vcpus, ram=memory)
    spec.flavor = flavor(vcpus, memory, extra_specs)
    spec.numa_topology = guest(vcpus, memory, extra_specs)
    return spec


def candidates(capacity, server_demand, spec, state):
    """Return Placement's candidates: those of devices that are free there."""
    serving = {
        pci_request.alias: [
            {"rp_uuid": builders.provider_of(state.host, d.device.address), "count": d.free}
            for d in capacity.devices_of(device_class)
            if d.free
        ]
        for pci_request, device_class in server_demand.pci_requests
    }
    return builders.candidates(state, spec, serving=serving)


def claim(state, spec):
    """Consume the first candidate that is left; raise where nova-compute would."""
    mapping = state.allocation_candidates[0]["mappings"]
    for group in spec.requested_resources:
        group.provider_uuids = mapping[group.requester_id]
    # consume_from_request hides the exceptions that the same code raises in nova-compute.
    state._locked_consume_from_request(spec)
    return [provider for name, providers in mapping.items() if name for provider in providers]
