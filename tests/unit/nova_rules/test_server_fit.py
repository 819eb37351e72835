# SPDX-License-Identifier: Apache-2.0
"""Fits of servers on hosts; scheduler/test_server_fit_against_nova.py compares them with Nova."""

from dataclasses import replace

import pytest

from nova_gpu_passthrough.nova_rules.host_capacity import DeviceCapacity, PlacementQuery
from nova_gpu_passthrough.nova_rules.host_cell import MemoryPages
from nova_gpu_passthrough.nova_rules.refusal import Constraint, Refusal, Stage
from nova_gpu_passthrough.nova_rules.server_fit import describe_nodes, fit_server
from nova_gpu_passthrough.topology.fit import FitReason
from nova_gpu_passthrough.topology.model import NumaPolicy, Preference
from tests.unit import builders
from tests.unit.nova_rules.host_capacities import (
    cell,
    free_capacity,
    gpus,
    nic,
    server_demand,
)


def refusal_of(capacity, demand):
    result = fit_server(capacity, demand)
    assert isinstance(result, Refusal), result
    return result


@pytest.mark.parametrize(
    ("capacity", "demand", "constraint", "words"),
    [
        (
            free_capacity(PCPU=3),
            server_demand(),
            Constraint.VCPUS,
            "PCPU: 4 requested, 3 of 3 free",
        ),
        (
            free_capacity(MEMORY_MB=9),
            server_demand(),
            Constraint.RAM,
            "MEMORY_MB: 8192 requested, 9 of 9 free",
        ),
        (
            free_capacity(),
            server_demand(query=PlacementQuery((("CUSTOM_X", 1),))),
            Constraint.RESOURCE,
            "CUSTOM_X: 1 requested, the host has none",
        ),
        (
            free_capacity(),
            server_demand(query=PlacementQuery(required=frozenset(["B", "A"]))),
            Constraint.TRAITS,
            "the host lacks the trait A, B",
        ),
        (
            free_capacity(traits=["A"]),
            server_demand(query=PlacementQuery(forbidden=frozenset("A"))),
            Constraint.TRAITS,
            "the host has the trait A, which is forbidden",
        ),
        (
            free_capacity(devices=gpus(reserved=[0, 1], in_use=[2, 3, 4])),
            server_demand(4),
            Constraint.GPUS,
            "CUSTOM_H100: 4 requested, 3 free, 3 in use, 2 reserved",
        ),
        (
            free_capacity(),
            server_demand(nics=1),
            Constraint.DEVICES,
            "CUSTOM_NIC: 1 requested, the host has none",
        ),
    ],
)
def test_placement_refuses_with_numbers(capacity, demand, constraint, words):
    refusal = refusal_of(capacity, demand)
    assert (refusal.stage, refusal.constraint, refusal.detail) == (
        Stage.PLACEMENT,
        constraint,
        words,
    )


def test_a_server_gets_at_most_max_unit():
    capacity = free_capacity()
    capped = tuple((name, amount._replace(max_unit=2)) for name, amount in capacity.resources)
    refusal = refusal_of(replace(capacity, resources=capped), server_demand())
    assert refusal.detail.startswith("PCPU: 4 requested, one server can have 2; MEMORY_MB: ")


def test_all_constraints_of_placement_are_named_and_gpus_first():
    capacity = free_capacity(devices=gpus(in_use=range(8)), PCPU=3, MEMORY_MB=9)
    demand = server_demand(nics=1, query=PlacementQuery(required=frozenset("A")))
    refusal = refusal_of(capacity, demand)
    assert refusal.constraints == (Constraint.GPUS, Constraint.DEVICES, Constraint.TRAITS)
    refusal = refusal_of(capacity, server_demand())
    assert refusal.constraints == (Constraint.GPUS, Constraint.VCPUS, Constraint.RAM)
    assert refusal.detail == (
        "CUSTOM_H100: 1 requested, 0 free, 8 in use; PCPU: 4 requested, 3 of 3 free; "
        "MEMORY_MB: 8192 requested, 9 of 9 free"
    )


def test_a_second_query_that_succeeds_leaves_only_the_lack_of_gpus():
    capacity = free_capacity(devices=gpus(in_use=range(8)), PCPU=0)
    demand = server_demand()
    assert refusal_of(capacity, demand).constraints == (Constraint.GPUS, Constraint.VCPUS)
    twice = replace(demand, fallback=PlacementQuery((("VCPU", 4),)))
    assert refusal_of(capacity, twice).constraints == (Constraint.GPUS,)


@pytest.mark.parametrize(
    ("demand", "reason", "constraint"),
    [
        (
            server_demand(3, switch=Preference.REQUIRED),
            FitReason.SWITCH,
            Constraint.SWITCH,
        ),
        (server_demand(5), FitReason.NUMA, Constraint.NUMA),
    ],
)
def test_the_filter_refuses_with_its_reason(demand, reason, constraint):
    refusal = refusal_of(free_capacity(), demand)
    assert (refusal.stage, refusal.reason, refusal.constraint) == (
        Stage.GPU_FILTER,
        reason,
        constraint,
    )


def test_the_constraint_is_what_other_servers_use_on_the_node():
    # All free GPUs are on node 0, whose CPUs or memory other servers use.
    devices = gpus(in_use=range(4, 8))
    cpus = free_capacity([cell(0, pinned=14), cell(1)], devices)
    refusal = refusal_of(cpus, server_demand())
    assert (refusal.reason, refusal.constraint) == (FitReason.NUMA, Constraint.VCPUS)
    assert "node 0 has 4 free matching devices, 2 of 16 CPUs free for pinning" in refusal.detail
    memory = free_capacity([cell(0, used=60000), cell(1)], devices)
    assert refusal_of(memory, server_demand()).constraint is Constraint.RAM
    both = free_capacity([cell(0, pinned=14, used=60000), cell(1)], devices)
    assert refusal_of(both, server_demand()).constraint is Constraint.VCPUS


def test_the_policy_preferred_allows_gpus_on_other_nodes():
    devices = gpus(in_use=range(4, 8))
    capacity = free_capacity([cell(0, pinned=14), cell(1)], devices)
    fitted = fit_server(capacity, server_demand(policy=NumaPolicy.PREFERRED))
    assert [cell.node for cell in fitted.cells] == [1]
    assert builders.numbers(fitted.choice.gpus) == [0]


def test_nodes_without_free_pages_do_not_use_up_the_choices():
    # As in test_filters.py: 28 pairs of nodes have the CPUs, only one pair has the pages.
    cells = [
        replace(
            cell(n),
            pages=(MemoryPages(4, 1 << 21), MemoryPages(1 << 20, 8, 0 if n in (6, 7) else 8)),
        )
        for n in range(8)
    ]
    devices = [
        DeviceCapacity("CUSTOM_H100", builders.gpu(n, n, provider=f"p{n}")) for n in range(8)
    ]
    specs = {"hw__numa_nodes": "2", "hw__mem_page_size": "1GB"}
    demand = server_demand(2, policy=NumaPolicy.PREFERRED, **specs)
    fitted = fit_server(free_capacity(cells, devices), demand)
    assert sorted(cell.node for cell in fitted.cells) == [6, 7]
    assert builders.numbers(fitted.choice.gpus) == [6, 7]


def test_a_host_without_numa_topology_refuses_guests_with_cells():
    refusal = refusal_of(free_capacity(cells=()), server_demand())
    assert refusal.reason is FitReason.GUEST_NUMA
    refusal = refusal_of(free_capacity(cells=()), server_demand(0))
    assert refusal.stage is Stage.NUMA_FILTER


def test_a_server_without_gpus_only_has_to_fit_its_guest():
    capacity = free_capacity([cell(0, pinned=14), cell(1, pinned=14)], PCPU=64)
    refusal = refusal_of(capacity, server_demand(0))
    assert (refusal.stage, refusal.constraint) == (Stage.NUMA_FILTER, Constraint.VCPUS)
    assert refusal.detail.startswith("the guest needs 1 x (4 pinned CPUs, 8192 MiB); node 0 has 2")
    assert fit_server(free_capacity(), server_demand(0)).choice is None


def test_a_guest_without_numa_topology_uses_no_cells():
    fitted = fit_server(free_capacity(), server_demand(2, hw__cpu_policy=""))
    assert fitted.cells == ()
    assert fitted.remaining.cells == free_capacity().cells
    assert fitted.remaining.amounts["VCPU"].used == 4


def test_placement_gets_a_second_request_with_vcpu_for_pinned_cpus():
    demand = server_demand()
    twice = demand.__class__(
        demand.request,
        demand.guest,
        demand.device_classes,
        PlacementQuery((("PCPU", 4),)),
        PlacementQuery((("VCPU", 4),)),
    )
    fitted = fit_server(free_capacity(PCPU=0), twice)
    assert fitted.remaining.amounts["VCPU"].used == 4
    refusal = refusal_of(free_capacity(PCPU=0, VCPU=3), twice)
    assert refusal.detail == "PCPU: 4 requested, 0 of 0 free"


def test_nova_fails_to_pin_some_guests_of_two_cells():
    """The free GPUs are on nodes 1 and 3; see test_guest_fit.py."""
    hgx = [device.device for device in gpus()]
    devices = [
        device._replace(device=gpu._replace(numa_node=node))
        for device, gpu, node in zip(gpus(), hgx, [1, 3] * 4, strict=True)
    ]
    # Nova also counts other devices, so there are as many on the other nodes.
    devices += [nic(number, node) for number, node in enumerate([0, 2] * 4)]
    capacity = free_capacity([cell(number) for number in range(4)], devices)
    refusal = refusal_of(capacity, server_demand(8, vcpus=8, hw__numa_nodes="2"))
    assert refusal.stage is Stage.CLAIM
    assert "then fails to pin it" in refusal.detail


@pytest.mark.parametrize(
    ("demand", "words"),
    [
        (server_demand(), "the guest needs 1 x (4 pinned CPUs, 8192 MiB)"),
        (
            server_demand(vcpus=8, hw__numa_nodes="2"),
            "2 x (4 pinned CPUs, 4096 MiB)",
        ),
        (
            server_demand(hw__cpu_policy="mixed", hw__cpu_dedicated_mask="0"),
            "1 x (1 pinned and 3 shared CPUs, 8192 MiB)",
        ),
        (
            server_demand(hw__cpu_policy="", hw__numa_nodes="1"),
            "1 x (4 shared CPUs, 8192 MiB)",
        ),
        (
            server_demand(),
            "node 1 has 4 free matching devices, 16 of 16 CPUs free for pinning",
        ),
        (
            server_demand(0),
            "node 1 has 16 of 16 CPUs free for pinning, 65536 of 65536 MiB free",
        ),
        (
            server_demand(hw__mem_page_size="small"),
            "enough memory in pages of 4 KiB",
        ),
        (
            server_demand(hw__mem_page_size="1GB"),
            "free: 65536 MiB in pages of 4 KiB",
        ),
        (
            server_demand(hw__cpu_policy="", hw__numa_nodes="1"),
            "0 shared CPUs with 0 vCPUs on them",
        ),
    ],
)
def test_the_description_has_the_guests_cells_and_the_free_amounts(demand, words):
    assert words in describe_nodes(free_capacity(), demand)
