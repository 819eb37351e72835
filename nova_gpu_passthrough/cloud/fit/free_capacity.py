# SPDX-License-Identifier: Apache-2.0
"""Convert the cloud's hosts to the free capacity that ``nova_rules`` works on."""

from collections.abc import Iterable

from nova_gpu_passthrough.cloud.view import device_counts
from nova_gpu_passthrough.cloud.view.model import CloudDevice, CloudHost, DeviceState
from nova_gpu_passthrough.nova_rules.host_capacity import Amount, DeviceCapacity, HostCapacity
from nova_gpu_passthrough.nova_rules.refusal import Constraint, Refusal, Stage
from nova_gpu_passthrough.topology.model import FreeDevice, FreeGpu


def service_refusal(host: CloudHost) -> Refusal | None:
    """Explain why the host takes no server at all, whatever it has free."""
    if not host.known:
        detail = "Nova has no compute node of that name"
    elif not host.enabled:
        reason = f" ({host.disabled_reason})" if host.disabled_reason else ""
        detail = f"nova-compute is disabled{reason}"
    elif not host.up:
        detail = "nova-compute is down"
    elif host.provider is None:
        detail = "Placement has no resource provider of the host"
    else:
        return None
    return Refusal(Constraint.HOST, detail, Stage.SERVICE)


def of_host(host: CloudHost) -> HostCapacity:
    """Return what the host has free.

    Names that differ from host to host are left out, so that equal hosts have equal capacities.
    """
    return HostCapacity(
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
    free: HostCapacity, host: CloudHost, server: str, resources: Iterable[tuple[str, int]]
) -> HostCapacity:
    """Return what the host would have free without one of its servers.

    :param free: what it has free now
    :param server: the id of the server
    :param resources: what the server has allocated from the root provider
    """
    cells = {cell.id: cell for cell in free.cells}
    for use in (use for one in host.servers if one.id == server for use in one.cells):
        if use.node in cells:
            cells[use.node] = cells[use.node].release(
                use.memory_mib, use.vcpus - len(use.pinned), use.pinned, use.page_size_kib
            )
    allocated = {device.address: device.consumers.count(server) for device in host.devices}
    released = dict(resources)
    return HostCapacity(
        tuple(
            (name, amount._replace(used=max(0, amount.used - released.get(name, 0))))
            for name, amount in free.resources
        ),
        tuple(cells.values()),
        tuple(
            device._replace(
                free=device.free + allocated[device.device.address],
                in_use=device.in_use - allocated[device.device.address],
            )
            for device in free.devices
        ),
        free.traits,
    )


def _device(device: CloudDevice) -> DeviceCapacity:
    unit: FreeGpu | FreeDevice
    if device.model is None:
        unit = FreeDevice(device.address, device.numa_node, device.switch, device.card)
    else:
        unit = FreeGpu(
            device.address,
            device.model,
            device.numa_node,
            device.link_group,
            device.switch,
            device.card,
        )
    counts = device_counts.count((device,))
    return DeviceCapacity(
        device.resource_class,
        unit,
        # Traits of topology and model would make equal hosts differ, and no alias requests them.
        device.traits,
        counts.free,
        counts.reserved,
        counts.in_use,
        counts.stuck,
    )
