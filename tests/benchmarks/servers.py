# SPDX-License-Identifier: Apache-2.0
"""Requests for servers, and Placement's responses to them."""

import itertools
import json
import uuid
from collections.abc import Sequence
from typing import Any

from nova import objects

from tests.benchmarks import hosts

#: vCPUs and memory of a server per GPU.
VCPUS = 24
MEMORY_MIB = 192 * 1024
#: ``[scheduler] max_placement_results``
MAX_CANDIDATES = 1000
_ALIAS_REQUEST = "7c8d6a1e-52a1-4c57-9f0b-8f5f6f0c0d01"


def guest_cells(gpus: int) -> int:
    """Return the ``hw:numa_nodes`` that a number of GPUs needs."""
    return 1 if gpus * hosts.NODES <= hosts.GPUS else hosts.NODES


def request(
    gpus: int,
    *,
    board: hosts.Board = hosts.HGX,
    numa: bool = True,
    policy: str | None = None,
    pinned: bool = False,
) -> objects.RequestSpec:
    """Return the request for a server with ``gpus`` GPUs of one alias, or without GPUs for 0.

    :param numa: whether the guest has a NUMA topology
    :param policy: ``numa_policy`` of the alias (None: Nova's default, ``legacy``)
    :param pinned: whether the flavor has ``hw:cpu_policy=dedicated``
    """
    units = max(1, gpus)
    requests = []
    if gpus:
        alias_spec = {"vendor_id": "10de", "product_id": board.product_id, "dev_type": "type-PCI"}
        requests.append(
            objects.InstancePCIRequest(
                request_id=_ALIAS_REQUEST,
                alias_name="gpu",
                count=gpus,
                spec=[alias_spec],
                numa_policy=policy,
                requester_id=None,
            )
        )
    extra_specs = {"pci_passthrough:alias": f"gpu:{gpus}"} if gpus else {}
    if numa:
        extra_specs["hw:numa_nodes"] = str(guest_cells(gpus))
    if pinned:
        extra_specs["hw:cpu_policy"] = "dedicated"
    spec = objects.RequestSpec(
        instance_uuid=str(uuid.uuid4()),
        flavor=objects.Flavor(
            name=f"g{gpus}",
            vcpus=VCPUS * units,
            memory_mb=MEMORY_MIB * units,
            root_gb=0,
            ephemeral_gb=0,
            swap=0,
            extra_specs=extra_specs,
        ),
        image=objects.ImageMeta(properties=objects.ImageMetaProps()),
        numa_topology=_guest_topology(units, pinned) if numa else None,
        pci_requests=objects.InstancePCIRequests(requests=requests),
        requested_resources=[],
        scheduler_hints={},
        num_instances=1,
    )
    spec.generate_request_groups_from_pci_requests()
    return spec


def _guest_topology(units: int, pinned: bool) -> objects.InstanceNUMATopology:
    cells = guest_cells(units)
    each = VCPUS * units // cells
    cpus = [set(range(cell * each, (cell + 1) * each)) for cell in range(cells)]
    return objects.InstanceNUMATopology(
        cells=[
            objects.InstanceNUMACell(
                id=cell,
                cpuset=set() if pinned else cpus[cell],
                pcpuset=cpus[cell] if pinned else set(),
                cpu_policy="dedicated" if pinned else None,
                memory=MEMORY_MIB * units // cells,
            )
            for cell in range(cells)
        ]
    )


def candidate(
    number: int, gpus: Sequence[int], spec: objects.RequestSpec, board: hosts.Board = hosts.HGX
) -> dict[str, Any]:
    """Return the allocation candidate of host ``number`` with these GPUs, one per request group."""
    root = hosts.provider(number, -1)
    cpus = "PCPU" if "hw:cpu_policy" in spec.flavor.extra_specs else "VCPU"
    resources = {cpus: spec.flavor.vcpus, "MEMORY_MB": spec.flavor.memory_mb}
    allocations: dict[str, Any] = {root: {"resources": resources}}
    mappings = {"": [root]}
    for group, gpu in zip(spec.requested_resources, gpus, strict=True):
        name = hosts.provider(number, gpu)
        allocations[name] = {"resources": {f"CUSTOM_PCI_10DE_{board.product_id.upper()}": 1}}
        mappings[group.requester_id] = [name]
    return {"allocations": allocations, "mappings": mappings}


def candidates(
    number: int,
    spec: objects.RequestSpec,
    most: int = MAX_CANDIDATES,
    free: Sequence[int] = range(hosts.GPUS),
    board: hosts.Board = hosts.HGX,
) -> list[dict[str, Any]]:
    """Return the first ``most`` candidates of a host in the order of Placement."""
    orders = itertools.permutations(free, len(spec.requested_resources))
    return [candidate(number, order, spec, board) for order in itertools.islice(orders, most)]


class PlacementResponse:
    """Placement's response for some hosts, which can be copied any number of times."""

    def __init__(self, spec: objects.RequestSpec, states: Sequence[Any], most: int) -> None:
        self._texts = [
            json.dumps(candidates(number, spec, most)) for number, _ in enumerate(states)
        ]
        self.states = states
        self.per_host = len(json.loads(self._texts[0]))

    def assign_candidates(self, first: int, last: int) -> list[Any]:
        """Give the hosts ``first`` to ``last`` new copies of their candidates, and return them."""
        for state, text in zip(self.states[first:last], self._texts[first:last], strict=True):
            state.allocation_candidates = json.loads(text)
            state.limits = {}
        return list(self.states[first:last])

    def clear_candidates(self) -> None:
        """Remove the candidates of all host states."""
        for state in self.states:
            state.allocation_candidates = []
