# SPDX-License-Identifier: Apache-2.0
"""Explain why one host takes a server or refuses it, and what a server has on its own host."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nova_gpu_passthrough.cloud.fit.host_judge import HostJudge
from nova_gpu_passthrough.cloud.view.model import CloudHost
from nova_gpu_passthrough.fleet.demand import FlavorDemand
from nova_gpu_passthrough.nova_rules.host_capacity import HostCapacity
from nova_gpu_passthrough.nova_rules.refusal import Constraint, Refusal
from nova_gpu_passthrough.policies.base import Policy, weight
from nova_gpu_passthrough.topology.fit import DeviceChoice, FitRefusal, fit
from nova_gpu_passthrough.topology.model import (
    FreeDevice,
    FreeGpu,
    GpuRequest,
    HostGpus,
    Preference,
)
from nova_gpu_passthrough.topology.tags import LINK_SEPARATOR


class HostAnswer(enum.StrEnum):
    """Whether a host takes a server."""

    #: The server is on this host.
    HERE = "here"
    FITS = "fits"
    REFUSED = "refused"


@dataclass(frozen=True)
class HostExplanation:
    """The answer of one host in its current state, with details."""

    host: str
    answer: HostAnswer
    #: Devices, NUMA nodes and links; or in numbers what the host lacks.
    detail: str
    refusal: Refusal | None = None
    #: The weight by GpuPassthroughWeigher, 0..1; None if it is not known.
    weight: float | None = None

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """The constraints that the host does not meet, the most important one first."""
        return self.refusal.constraints if self.refusal else ()


def explain_host(
    host: CloudHost,
    free: HostCapacity,
    flavor_demand: FlavorDemand,
    judge: HostJudge,
    policy: Policy | None = None,
) -> HostExplanation:
    """Explain whether a host takes one more server.

    :param free: what the host has free
    :param judge: judges hosts for the server
    :param policy: computes the weight; None: without weight
    """
    fitted = judge.judge(host, free)
    if isinstance(fitted, Refusal):
        return HostExplanation(host.name, HostAnswer.REFUSED, fitted.text, fitted)
    nodes = sorted({cell.node for cell in fitted.cells})
    details = []
    if fitted.choice is not None:
        devices = [d for chosen in fitted.choice.devices.values() for d in chosen]
        details.append(f"with {_list_devices(devices)}")
        details += _describe_links(fitted.choice.gpus)
    if nodes:
        details.append(f"CPUs and memory of NUMA {_list_nodes(nodes)}")
    detail, value = _with_weight(
        ", ".join(details), flavor_demand.server_demand.request, fitted.host, fitted.choice, policy
    )
    return HostExplanation(host.name, HostAnswer.FITS, detail, weight=value)


def explain_own_host(
    host: CloudHost,
    free: HostCapacity,
    flavor_demand: FlavorDemand,
    server: str,
    policy: Policy | None = None,
) -> HostExplanation:
    """Describe the resources that a server has on its host.

    :param free: what the host would have free without the server
    :param server: the id of the server
    """
    nodes = sorted({use.node for s in host.servers if s.id == server for use in s.cells})
    by_address = {device.device.address: device.device for device in free.devices}
    devices = [by_address[d.address] for d in host.devices if server in d.consumers]
    gpus = tuple(device for device in devices if isinstance(device, FreeGpu))
    details = [f"has {_list_devices(devices)}" if devices else "has no devices"]
    details += _describe_links(gpus)
    if nodes:
        details.append(f"CPUs and memory of NUMA {_list_nodes(nodes)}")
    request = flavor_demand.server_demand.request
    detail, value = _with_weight(
        ", ".join(details),
        request,
        free.host_gpus(flavor_demand.server_demand),
        _as_choice(request, gpus),
        policy,
    )
    return HostExplanation(host.name, HostAnswer.HERE, detail, weight=value)


def _as_choice(request: GpuRequest, gpus: Sequence[FreeGpu]) -> DeviceChoice | None:
    """Return the choice of exactly these GPUs, for its quality; None if their number is wrong."""
    if not request.gpus or len(gpus) != request.count:
        return None
    first = request.gpus[0]
    relaxed = replace(
        request,
        gpus=(replace(first, count=len(gpus)),),
        attached=(),
        link=_prefer(request.link),
        switch=_prefer(request.switch),
        numa=Preference.PREFERRED,
        guest_cells=(),
    )
    choices = fit(HostGpus({first.id: tuple(gpus)}), relaxed)
    return None if isinstance(choices, FitRefusal) else choices[0]


def _prefer(preference: Preference) -> Preference:
    return Preference.PREFERRED if preference is Preference.REQUIRED else preference


def _with_weight(
    detail: str,
    request: GpuRequest,
    host: HostGpus,
    choice: DeviceChoice | None,
    policy: Policy | None,
) -> tuple[str, float | None]:
    """Add the weight to the detail, and return both."""
    if choice is None or policy is None:
        return detail, None
    score = policy.score(host, request, choice)
    value = weight(choice.quality, score)
    text = f"{detail}; weight {value:.2f} (quality {choice.quality:.2f}, policy {score:.2f})"
    return text, value


def _list_devices(devices: Sequence[FreeGpu | FreeDevice]) -> str:
    """List the addresses by NUMA node."""
    by_node: dict[int | None, list[str]] = {}
    for device in sorted(devices, key=lambda device: device.address):
        by_node.setdefault(device.numa_node, []).append(device.address)
    return ", ".join(
        f"{' '.join(addresses)} on {'no NUMA node' if node is None else f'NUMA node {node}'}"
        for node, addresses in by_node.items()
    )


def _describe_links(gpus: Sequence[FreeGpu]) -> list[str]:
    """Describe how several GPUs are linked, as far as it is known."""
    if len(gpus) < 2:
        return []
    details = []
    paths = {gpu.link_group for gpu in gpus}
    if all(paths):
        common = []
        for names in zip(*paths, strict=False):
            if len(set(names)) > 1:
                break
            common.append(names[0])
        groups = {path[0] for path in paths}
        if common:
            details.append(f"in link group {LINK_SEPARATOR.join(common)}")
        else:
            details.append(f"in {len(groups)} link groups")
    switches = {gpu.switch for gpu in gpus}
    if None not in switches:
        details.append(
            "behind one switch" if len(switches) == 1 else f"behind {len(switches)} switches"
        )
    return details


def _list_nodes(nodes: Sequence[int]) -> str:
    return f"{'node' if len(nodes) == 1 else 'nodes'} {', '.join(map(str, nodes))}"
