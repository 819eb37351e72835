# SPDX-License-Identifier: Apache-2.0
"""Find free GPUs that no server of any GPU flavor can use now.

Each host's GPUs of one model are filled up with further servers in several ways: as many servers
of one flavor as fit, then of the others, from the largest to the smallest; each flavor is tried as
the first. GPUs that are still free in the best of these ways are stranded. Their constraint is the
one that then refuses the flavor with the fewest GPUs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nova_gpu_passthrough.cloud.fit import free_capacity, gpu_flavors
from nova_gpu_passthrough.cloud.fit.gpu_flavors import GpuFlavor
from nova_gpu_passthrough.cloud.view.model import CloudHost
from nova_gpu_passthrough.nova_rules import fill
from nova_gpu_passthrough.nova_rules.host_capacity import DeviceCapacity, HostCapacity
from nova_gpu_passthrough.nova_rules.refusal import Constraint
from nova_gpu_passthrough.topology.model import FreeGpu


@dataclass(frozen=True)
class StrandedGpu:
    """A free GPU that no server of any GPU flavor can use now."""

    host: str
    address: str
    model: str
    #: The first constraint that fails for the flavor with the fewest GPUs on the filled host.
    constraint: Constraint
    detail: str
    #: That flavor; None where no flavor of the cloud requests the model.
    flavor: str | None = None


class _Stranded(NamedTuple):
    """The stranded GPUs of one model on one host, and why."""

    addresses: tuple[str, ...]
    constraint: Constraint
    detail: str
    flavor: str | None


def find(
    hosts: Iterable[CloudHost],
    free_by_host: Mapping[str, HostCapacity],
    flavors: Sequence[GpuFlavor],
) -> tuple[StrandedGpu, ...]:
    """Return all stranded GPUs, sorted by host and address."""
    cache: dict[tuple[HostCapacity, str], _Stranded] = {}
    found = []
    for host in hosts:
        free = free_by_host[host.name]
        refusal = free_capacity.service_refusal(host)
        for model in sorted({gpu.model for gpu, _ in _free_gpus(free)}):
            if refusal:
                stranded = _Stranded(
                    _addresses(free, model), refusal.constraint, refusal.text, None
                )
            else:
                if (free, model) not in cache:
                    cache[free, model] = _fill(free, model, flavors)
                stranded = cache[free, model]
            found += [
                StrandedGpu(
                    host.name,
                    address,
                    model,
                    stranded.constraint,
                    stranded.detail,
                    stranded.flavor,
                )
                for address in stranded.addresses
            ]
    return tuple(sorted(found, key=lambda gpu: (gpu.host, gpu.address)))


def _free_gpus(free: HostCapacity) -> Iterable[tuple[FreeGpu, DeviceCapacity]]:
    for device in free.devices:
        if device.free and isinstance(device.device, FreeGpu):
            yield device.device, device


def _addresses(free: HostCapacity, model: str) -> tuple[str, ...]:
    """Return an address for every free GPU; VFs of one PF have the same address."""
    return tuple(
        gpu.address
        for gpu, device in _free_gpus(free)
        if gpu.model == model
        for _ in range(device.free)
    )


def _fill(free: HostCapacity, model: str, flavors: Sequence[GpuFlavor]) -> _Stranded:
    """Fill up a host's GPUs of one model in the best way, and return what is still free."""
    usable = [
        one
        for one in flavors
        if model in one.demand.models and not gpu_flavors.extra_spec_refusal(one.demand)
    ]
    if not usable:
        detail = f"no flavor that Nova accepts requests {model}"
        return _Stranded(_addresses(free, model), Constraint.FLAVOR, detail, None)
    usable.sort(key=lambda one: (-one.demand.gpus, one.flavor.name))
    demands = {one.flavor.name: gpu_flavors.applicable_demand(free, one.demand) for one in usable}
    filled = fill.fill_best(free, demands, lambda left: (len(_addresses(left, model)),))
    smallest = usable[-1].flavor.name
    refusal = fill.fill(filled.capacity, {smallest: demands[smallest]}).refusal
    addresses = _addresses(filled.capacity, model)
    imagined = ", ".join(f"{count} more {name}" for name, count in filled.servers.items())
    detail = f"after {imagined}: {refusal.text}" if imagined else refusal.text
    return _Stranded(addresses, refusal.constraint, detail, smallest)
