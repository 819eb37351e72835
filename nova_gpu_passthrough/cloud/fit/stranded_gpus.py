# SPDX-License-Identifier: Apache-2.0
"""Find free GPUs that no server of any GPU flavor can use now.

Each host's GPUs of one model are filled up with further servers in several ways: as many servers
of one flavor as fit, then of the others, from the largest to the smallest; each flavor is tried as
the first. GPUs that are still free in the best of these ways are stranded. Their constraint is the
one that then refuses the flavor with the fewest GPUs.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nova_gpu_passthrough.cloud.fit import free_capacity, gpu_flavors
from nova_gpu_passthrough.cloud.fit.gpu_flavors import GpuFlavor
from nova_gpu_passthrough.cloud.fit.host_judge import HostJudge
from nova_gpu_passthrough.cloud.view.model import CloudHost
from nova_gpu_passthrough.nova_rules import fill
from nova_gpu_passthrough.nova_rules.host_capacity import DeviceCapacity, HostCapacity
from nova_gpu_passthrough.nova_rules.refusal import Constraint, Refusal
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
    judges: Mapping[str, HostJudge],
) -> tuple[StrandedGpu, ...]:
    """Return all stranded GPUs, sorted by host and address.

    :param judges: by the name of the flavor
    """
    cache: dict[tuple[HostCapacity, str, tuple[str, ...]], _Stranded] = {}
    found = []
    for host in hosts:
        free = free_by_host[host.name]
        refusals = {name: judge.refusal_whatever_is_free(host) for name, judge in judges.items()}
        service = free_capacity.service_refusal(host)
        for model in sorted({gpu.model for gpu, _ in _free_gpus(free)}):
            asking = [one for one in flavors if model in one.demand.models]
            usable = tuple(one for one in asking if refusals[one.flavor.name] is None)
            refusal = service or _first_refusal(asking, usable, refusals)
            if refusal:
                stranded = _Stranded(
                    _addresses(free, model), refusal.constraint, refusal.text, None
                )
            else:
                key = free, model, tuple(one.flavor.name for one in usable)
                if key not in cache:
                    cache[key] = _fill(free, model, usable)
                stranded = cache[key]
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


def _first_refusal(
    asking: Sequence[GpuFlavor],
    usable: Collection[GpuFlavor],
    refusals: Mapping[str, Refusal | None],
) -> Refusal | None:
    """Return the refusal of the flavor with the fewest GPUs, if none of the flavors is usable.

    Flavors that are invalid for any host do not count.
    """
    if usable:
        return None
    smallest_first = sorted(asking, key=lambda one: (one.demand.gpus, one.flavor.name))
    for one in smallest_first:
        refusal = refusals[one.flavor.name]
        if refusal and refusal.constraint is not Constraint.FLAVOR:
            return refusal
    return None


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
    if not flavors:
        detail = f"no flavor that Nova accepts requests {model}"
        return _Stranded(_addresses(free, model), Constraint.FLAVOR, detail, None)
    usable = sorted(flavors, key=lambda one: (-one.demand.gpus, one.flavor.name))
    demands = {one.flavor.name: gpu_flavors.applicable_demand(free, one.demand) for one in usable}
    filled = fill.fill_best(free, demands, lambda left: (len(_addresses(left, model)),))
    smallest = usable[-1].flavor.name
    refusal = fill.fill(filled.capacity, {smallest: demands[smallest]}).refusal
    addresses = _addresses(filled.capacity, model)
    imagined = ", ".join(f"{count} more {name}" for name, count in filled.servers.items())
    detail = f"after {imagined}: {refusal.text}" if imagined else refusal.text
    return _Stranded(addresses, refusal.constraint, detail, smallest)
