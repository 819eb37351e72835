# SPDX-License-Identifier: Apache-2.0
"""What hosts of the cloud have left, and whether they take servers at all."""

from collections.abc import Iterable

from nova_gpu_passthrough.cloud.view.model import Device, DeviceState, Host
from nova_gpu_passthrough.nova_rules.host_capacity import Amount, Room, RoomDevice
from nova_gpu_passthrough.nova_rules.why_not import Cause, Refused, Stage
from nova_gpu_passthrough.topology.model import Device as OtherDevice
from nova_gpu_passthrough.topology.model import Gpu


def closed(host: Host) -> Refused | None:
    """Why the host takes no servers at all, whatever it has left."""
    if not host.known:
        detail = "Nova has no compute node of that name"
    elif not host.enabled:
        why = f" ({host.disabled_reason})" if host.disabled_reason else ""
        detail = f"nova-compute is disabled{why}"
    elif not host.up:
        detail = "nova-compute is down"
    elif host.provider is None:
        detail = "Placement has no resource provider of the host"
    else:
        return None
    return Refused(Cause.HOST, detail, Stage.SERVICE)


def room(host: Host) -> Room:
    """What the host has left.

    Names that differ from host to host are left out, so that like hosts have equal rooms.
    """
    return Room(
        tuple(
            (name, Amount(r.capacity, r.used, r.max_unit, r.allocation_ratio))
            for name, r in sorted(host.resources.items())
        ),
        host.numa,
        tuple(
            _device(device)
            for device in sorted(host.devices, key=lambda device: device.address)
            if device.state is not DeviceState.MISSING
        ),
        host.traits,
    )


def without_server(
    left: Room, host: Host, server: str, resources: Iterable[tuple[str, int]]
) -> Room:
    """What the host would have left if one of its servers were gone.

    :param left: what it has left now
    :param server: its id
    :param resources: what the server is allocated of the root provider
    """
    cells = {cell.id: cell for cell in left.cells}
    for use in (use for one in host.servers if one.id == server for use in one.cells):
        if use.node in cells:
            cells[use.node] = cells[use.node].without_use(
                use.memory_mib, use.vcpus - len(use.pinned), use.pinned, use.page_size_kib
            )
    held = {device.address: device.consumers.count(server) for device in host.devices}
    given = dict(resources)
    return Room(
        tuple(
            (name, amount._replace(used=max(0, amount.used - given.get(name, 0))))
            for name, amount in left.resources
        ),
        tuple(cells.values()),
        tuple(
            device._replace(
                free=device.free + held[device.device.address],
                in_use=device.in_use - held[device.device.address],
            )
            for device in left.devices
        ),
        left.traits,
    )


def _device(device: Device) -> RoomDevice:
    one: Gpu | OtherDevice
    if device.model is None:
        one = OtherDevice(device.address, device.numa_node, device.switch, device.card)
    else:
        one = Gpu(
            device.address,
            device.model,
            device.numa_node,
            device.link_group,
            device.switch,
            device.card,
        )
    resource = device.resource
    return RoomDevice(
        device.resource_class,
        one,
        # Those of the device's place and model tell rooms apart, and no alias asks for them.
        device.traits,
        resource.free,
        max(0, resource.total - resource.used - resource.free),
        resource.used,
    )
