# SPDX-License-Identifier: Apache-2.0
"""Nova's objects for hosts and guests of our own model, to compare the two."""

import uuid

from nova import objects
from nova.virt import hardware

from nova_gpu_passthrough.topology.model import Gpu
from tests.unit import builders


def flavor(vcpus, memory, extra_specs):
    return objects.Flavor(
        vcpus=vcpus, memory_mb=memory, root_gb=1, ephemeral_gb=0, swap=0, extra_specs=extra_specs
    )


def image():
    return objects.ImageMeta(properties=objects.ImageMetaProps())


def guest(vcpus, memory, extra_specs):
    """Nova's topology of a flavor's guest; raises where Nova refuses the flavor."""
    return hardware.numa_get_constraints(flavor(vcpus, memory, extra_specs), image())


def cell(one):
    """A NUMACell like this HostCell."""
    return objects.NUMACell(
        id=one.id,
        cpuset=set(one.shared),
        pcpuset=set(one.dedicated),
        pinned_cpus=set(one.pinned),
        siblings=[set(core) for core in one.siblings],
        memory=one.memory_mib,
        memory_usage=one.used_mib,
        cpu_usage=one.shared_used,
        mempages=[
            objects.NUMAPagesTopology(
                size_kb=p.size_kib, total=p.total, used=p.used, reserved=p.reserved
            )
            for p in one.pages
        ],
        network_metadata=objects.NetworkMetadata(physnets=set(), tunneled=False),
        socket=one.socket,
    )


def topology(cells):
    return objects.NUMATopology(cells=[cell(one) for one in cells])


# -- hosts with devices ----------------------------------------------------------------------

IDS = {"CUSTOM_H100": ("10de", "2330"), "CUSTOM_NIC": ("15b3", "101e")}


def host_state(room, name="host"):
    """The state of a host with this room, as nova-scheduler holds it."""
    state = builders.host_state(name, pools(room, name))
    state.numa_topology = topology(room.cells) if room.cells else None
    state.pci_stats.numa_topology = state.numa_topology
    state.cpu_allocation_ratio, state.ram_allocation_ratio = room.ratios
    return state


def pools(room, name="host"):
    """Nova's pools: also of what is held back in Placement only."""
    made = []
    for one in room.devices:
        if not one.pooled:
            continue
        device = one.device
        vendor, product = IDS[one.resource_class]
        pool = {
            "vendor_id": vendor,
            "product_id": product,
            "numa_node": device.numa_node,
            "dev_type": "type-PCI",
            "count": one.pooled,
            "address": device.address,
            "rp_uuid": builders.provider_of(name, device.address),
        }
        words = {"gpu_switch": device.switch, "gpu_card": device.card}
        if isinstance(device, Gpu):
            words |= {"gpu_model": device.model, "gpu_link_group": "/".join(device.link_group)}
        made.append(pool | {key: word for key, word in words.items() if word})
    return made


def request_spec(needs, vcpus, memory, extra_specs):
    """The request of one more server; raises where Nova refuses the flavor."""
    asked = [
        objects.InstancePCIRequest(
            count=demand.count,
            spec=[dict(zip(("vendor_id", "product_id"), IDS[kind.resource_class], strict=True))],
            alias_name=demand.alias,
            request_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, demand.id)),
            requester_id=None,
            numa_policy=demand.numa_policy.value,
            is_new=False,
        )
        for demand, kind in needs.demands
    ]
    spec = builders.request_spec(*asked, in_placement=True, vcpus=vcpus, ram=memory)
    spec.flavor = flavor(vcpus, memory, extra_specs)
    spec.numa_topology = guest(vcpus, memory, extra_specs)
    return spec


def candidates(room, needs, spec, state):
    """What Placement sends: of what is free there."""
    serving = {
        demand.alias: [
            {"rp_uuid": builders.provider_of(state.host, d.device.address), "count": d.free}
            for d in room.of(kind)
            if d.free
        ]
        for demand, kind in needs.demands
    }
    return builders.candidates(state, spec, serving=serving)


def claim(state, spec):
    """Consume the first candidate that is left; raises where nova-compute would."""
    mapping = state.allocation_candidates[0]["mappings"]
    for group in spec.requested_resources:
        group.provider_uuids = mapping[group.requester_id]
    # consume_from_request itself swallows what the same code raises in nova-compute.
    state._locked_consume_from_request(spec)
    return [provider for name, providers in mapping.items() if name for provider in providers]
