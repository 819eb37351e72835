# SPDX-License-Identifier: Apache-2.0
"""What a host answers to one more server, and what to one that it has."""

from collections.abc import Sequence
from dataclasses import replace

from nova_gpu_passthrough.cloud.fit import gpu_flavors, host_capacity
from nova_gpu_passthrough.cloud.fit.explain.model import Answer, HostAnswer
from nova_gpu_passthrough.cloud.view.model import Host
from nova_gpu_passthrough.fleet.demand import Asked
from nova_gpu_passthrough.nova_rules.emulate_placement import place
from nova_gpu_passthrough.nova_rules.host_capacity import Room
from nova_gpu_passthrough.nova_rules.why_not import Cause, Refused, Stage
from nova_gpu_passthrough.policies.base import Policy
from nova_gpu_passthrough.policies.weight import weight
from nova_gpu_passthrough.topology.fit import DeviceChoice, Refusal, fit
from nova_gpu_passthrough.topology.model import Device, Gpu, GpuRequest, HostGpus, Preference
from nova_gpu_passthrough.topology.tags import LINK_SEPARATOR


def answer(
    host: Host, left: Room, asked: Asked, policy: Policy | None = None, zone: str | None = None
) -> HostAnswer:
    """What a host answers to one more server.

    :param left: what the host has left
    :param policy: None: there is no weight
    :param zone: the availability zone that the server must be in
    """
    closed = host_capacity.closed(host) or _elsewhere(host, zone)
    if closed:
        return HostAnswer(host.name, Answer.REFUSED, closed.detail, closed)
    found = place(left, gpu_flavors.fitting(left, asked))
    if not isinstance(found, Refused) or found.stage is not Stage.PLACEMENT:
        # The filter looks at the flavor before it looks at the host.
        found = gpu_flavors.invalid(asked) or found
    if isinstance(found, Refused):
        return HostAnswer(host.name, Answer.REFUSED, found.detail, found)
    cells = sorted({cell.node for cell in found.cells})
    parts = []
    if found.choice is not None:
        devices = [d for chosen in found.choice.devices.values() for d in chosen]
        parts.append(f"with {_devices(devices)}")
        parts += _links(found.choice.gpus)
    if cells:
        parts.append(f"CPUs and memory of NUMA {_nodes(cells)}")
    return HostAnswer(
        host.name,
        Answer.FITS,
        *_weighed(", ".join(parts), asked.needs.request, found.host, found.choice, policy),
    )


def here(
    host: Host, left: Room, asked: Asked, server: str, policy: Policy | None = None
) -> HostAnswer:
    """What a server has of its host.

    :param left: what the host would have left without it
    :param server: its id
    """
    devices = [device for device in host.devices if server in device.consumers]
    cells = sorted({use.node for s in host.servers if s.id == server for use in s.cells})
    by_address = {device.device.address: device.device for device in left.devices}
    held = [by_address[device.address] for device in devices]
    gpus = tuple(device for device in held if isinstance(device, Gpu))
    parts = [f"has {_devices(held)}" if held else "has no devices"]
    parts += _links(gpus)
    if cells:
        parts.append(f"CPUs and memory of NUMA {_nodes(cells)}")
    request = asked.needs.request
    return HostAnswer(
        host.name,
        Answer.HERE,
        *_weighed(
            ", ".join(parts),
            request,
            left.offers(asked.needs),
            _as_choice(request, gpus),
            policy,
        ),
    )


def _elsewhere(host: Host, zone: str | None) -> Refused | None:
    if zone is None or host.availability_zone == zone:
        return None
    detail = f"the server must be in availability zone {zone}, the host is in "
    return Refused(Cause.AGGREGATE, detail + (host.availability_zone or "none"), Stage.PLACEMENT)


def _as_choice(request: GpuRequest, gpus: Sequence[Gpu]) -> DeviceChoice | None:
    """What these very GPUs are worth to the server."""
    if not request.gpus or len(gpus) != request.count:
        return None
    first = request.gpus[0]
    whole = replace(
        request,
        gpus=(replace(first, count=len(gpus)),),
        attached=(),
        link=_soft(request.link),
        switch=_soft(request.switch),
        numa=Preference.PREFERRED,
        guest_cells=(),
    )
    found = fit(HostGpus({first.id: tuple(gpus)}), whole)
    return None if isinstance(found, Refusal) else found[0]


def _soft(wish: Preference) -> Preference:
    return Preference.PREFERRED if wish is Preference.REQUIRED else wish


def _weighed(
    detail: str,
    request: GpuRequest,
    host: HostGpus,
    choice: DeviceChoice | None,
    policy: Policy | None,
) -> tuple[str, None, float | None]:
    """Detail, no refusal, and the weight."""
    if choice is None or policy is None:
        return detail, None, None
    score = policy.score(host, request, choice)
    value = weight(choice.quality, score)
    text = f"{detail}; weight {value:.2f} (quality {choice.quality:.2f}, policy {score:.2f})"
    return text, None, value


def _devices(devices: Sequence[Gpu | Device]) -> str:
    """Addresses by NUMA node."""
    by_node: dict[int | None, list[str]] = {}
    for device in sorted(devices, key=lambda device: device.address):
        by_node.setdefault(device.numa_node, []).append(device.address)
    return ", ".join(
        f"{' '.join(addresses)} on {'no NUMA node' if node is None else f'NUMA node {node}'}"
        for node, addresses in by_node.items()
    )


def _links(gpus: Sequence[Gpu]) -> list[str]:
    """How several GPUs are linked, as far as it is known."""
    if len(gpus) < 2:
        return []
    parts = []
    paths = {gpu.link_group for gpu in gpus}
    if all(paths):
        common = []
        for names in zip(*paths, strict=False):
            if len(set(names)) > 1:
                break
            common.append(names[0])
        groups = {path[0] for path in paths}
        if common:
            parts.append(f"in link group {LINK_SEPARATOR.join(common)}")
        else:
            parts.append(f"in {len(groups)} link groups")
    switches = {gpu.switch for gpu in gpus}
    if None not in switches:
        parts.append(
            "behind one switch" if len(switches) == 1 else f"behind {len(switches)} switches"
        )
    return parts


def _nodes(nodes: Sequence[int]) -> str:
    return f"{'node' if len(nodes) == 1 else 'nodes'} {', '.join(map(str, nodes))}"
