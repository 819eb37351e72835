# SPDX-License-Identifier: Apache-2.0
"""Servers put on hosts; scheduler/test_count_agreement_with_nova.py compares with Nova."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.nova_rules.emulate_placement import count, place
from nova_gpu_passthrough.nova_rules.host_capacity import Query
from nova_gpu_passthrough.nova_rules.why_not import Cause, Refused, Stage
from nova_gpu_passthrough.topology.fit import Reason
from nova_gpu_passthrough.topology.model import NumaPolicy, Preference
from tests.unit import builders
from tests.unit.nova_rules import host_capacities


def refusal(room, needs):
    answer = place(room, needs)
    assert isinstance(answer, Refused), answer
    return answer


def test_a_host_fills_up():
    assert count(host_capacities.room(), host_capacities.needs())[0] == 8
    assert count(host_capacities.room(), host_capacities.needs(2))[0] == 4
    assert count(host_capacities.room(), host_capacities.needs(4, vcpus=16))[0] == 2
    assert (
        count(host_capacities.room(), host_capacities.needs(8, vcpus=32, hw__numa_nodes="2"))[0]
        == 1
    )


def test_the_last_refusal_is_about_gpus_where_these_run_out():
    placed, refused = count(host_capacities.room(), host_capacities.needs(1, vcpus=4))
    assert (placed, refused.cause) == (8, Cause.GPUS)
    assert refused.detail == "CUSTOM_H100: 1 wanted, 0 free, 8 in use"


def test_and_about_what_else_runs_out_where_gpus_are_left():
    placed, refused = count(host_capacities.room(), host_capacities.needs(1, vcpus=6))
    assert (placed, refused.cause) == (4, Cause.VCPUS)
    assert "6 pinned" in refused.detail


@pytest.mark.parametrize(
    ("room", "needs", "cause", "words"),
    [
        (
            host_capacities.room(PCPU=3),
            host_capacities.needs(),
            Cause.VCPUS,
            "PCPU: 4 wanted, 3 of 3 free",
        ),
        (
            host_capacities.room(MEMORY_MB=9),
            host_capacities.needs(),
            Cause.RAM,
            "MEMORY_MB: 8192 wanted, 9 of 9 free",
        ),
        (
            host_capacities.room(),
            host_capacities.needs(query=Query((("CUSTOM_X", 1),))),
            Cause.RESOURCE,
            "CUSTOM_X: 1 wanted, the host has none",
        ),
        (
            host_capacities.room(),
            host_capacities.needs(query=Query(required=frozenset(["B", "A"]))),
            Cause.TRAITS,
            "the host lacks the trait A, B",
        ),
        (
            host_capacities.room(traits=["A"]),
            host_capacities.needs(query=Query(forbidden=frozenset("A"))),
            Cause.TRAITS,
            "the host has the trait A, which is forbidden",
        ),
        (
            host_capacities.room(devices=host_capacities.gpus(reserved=[0, 1], in_use=[2, 3, 4])),
            host_capacities.needs(4),
            Cause.GPUS,
            "CUSTOM_H100: 4 wanted, 3 free, 3 in use, 2 reserved",
        ),
        (
            host_capacities.room(),
            host_capacities.needs(nics=1),
            Cause.DEVICES,
            "CUSTOM_NIC: 1 wanted, 0 free",
        ),
    ],
)
def test_placement_refuses_with_numbers(room, needs, cause, words):
    refused = refusal(room, needs)
    assert (refused.stage, refused.cause, refused.detail) == (Stage.PLACEMENT, cause, words)


def test_one_server_can_have_no_more_than_max_unit():
    room = host_capacities.room()
    capped = tuple((name, amount._replace(max_unit=2)) for name, amount in room.resources)
    refused = refusal(
        host_capacities.room().__class__(capped, room.cells, room.devices), host_capacities.needs()
    )
    assert refused.detail == "PCPU: 4 wanted, one server can have 2"


@pytest.mark.parametrize(
    ("needs", "reason", "cause"),
    [
        (host_capacities.needs(3, switch=Preference.REQUIRED), Reason.SWITCH, Cause.SWITCH),
        (host_capacities.needs(5), Reason.NUMA, Cause.NUMA),
    ],
)
def test_the_filter_refuses_with_its_reason(needs, reason, cause):
    refused = refusal(host_capacities.room(), needs)
    assert (refused.stage, refused.reason, refused.cause) == (Stage.GPU_FILTER, reason, cause)


def test_what_other_servers_have_of_a_node_is_the_cause():
    # All free GPUs are on node 0, whose CPUs or memory others have.
    devices = host_capacities.gpus(in_use=range(4, 8))
    cpus = host_capacities.room(
        [host_capacities.cell(0, pinned=14), host_capacities.cell(1)], devices
    )
    refused = refusal(cpus, host_capacities.needs())
    assert (refused.reason, refused.cause) == (Reason.NUMA, Cause.VCPUS)
    assert "node 0 has 4 free devices of the kind, 2 of 16 CPUs free for pinning" in refused.detail
    memory = host_capacities.room(
        [host_capacities.cell(0, used=60000), host_capacities.cell(1)], devices
    )
    assert refusal(memory, host_capacities.needs()).cause is Cause.RAM
    both = host_capacities.room(
        [host_capacities.cell(0, pinned=14, used=60000), host_capacities.cell(1)], devices
    )
    assert refusal(both, host_capacities.needs()).cause is Cause.VCPUS


def test_a_policy_that_does_not_mind_takes_far_gpus():
    devices = host_capacities.gpus(in_use=range(4, 8))
    room = host_capacities.room(
        [host_capacities.cell(0, pinned=14), host_capacities.cell(1)], devices
    )
    placed = place(room, host_capacities.needs(policy=NumaPolicy.PREFERRED))
    assert [cell.node for cell in placed.cells] == [1]
    assert builders.numbers(placed.choice.gpus) == [0]


def test_numa_nodes_that_are_not_told_refuse_guests_that_need_them():
    refused = refusal(host_capacities.room(cells=()), host_capacities.needs())
    assert refused.reason is Reason.GUEST_NUMA
    refused = refusal(host_capacities.room(cells=()), host_capacities.needs(0))
    assert refused.stage is Stage.NUMA_FILTER


def test_a_server_without_gpus_is_judged_by_its_guest_alone():
    room = host_capacities.room(
        [host_capacities.cell(0, pinned=14), host_capacities.cell(1, pinned=14)], PCPU=64
    )
    refused = refusal(room, host_capacities.needs(0))
    assert (refused.stage, refused.cause) == (Stage.NUMA_FILTER, Cause.VCPUS)
    assert refused.detail.startswith("the guest needs 1 x (4 pinned CPUs, 8192 MiB); node 0 has 2")
    assert place(host_capacities.room(), host_capacities.needs(0)).choice is None


def test_a_guest_without_numa_topology_takes_no_cells():
    placed = place(host_capacities.room(), host_capacities.needs(2, hw__cpu_policy=""))
    assert placed.cells == ()
    assert placed.room.cells == host_capacities.room().cells
    assert placed.room.amounts["VCPU"].used == 4


def test_placement_is_asked_again_with_vcpu_for_pinned_cpus():
    needs = host_capacities.needs()
    twice = needs.__class__(
        needs.request,
        needs.guest,
        needs.kinds,
        Query((("PCPU", 4),)),
        Query((("VCPU", 4),)),
    )
    placed = place(host_capacities.room(PCPU=0), twice)
    assert placed.room.amounts["VCPU"].used == 4
    refused = refusal(host_capacities.room(PCPU=0, VCPU=3), twice)
    assert refused.detail == "PCPU: 4 wanted, 0 of 0 free"


def test_nova_fails_to_pin_some_guests_of_two_cells():
    """Free GPUs are on nodes 1 and 3 only; see test_guest_fit.py."""
    hgx = [device.device for device in host_capacities.gpus()]
    devices = [
        device._replace(device=gpu._replace(numa_node=node))
        for device, gpu, node in zip(host_capacities.gpus(), hgx, [1, 3] * 4, strict=True)
    ]
    # As many other devices on the other nodes, which Nova counts, too.
    devices += [host_capacities.nic(number, node) for number, node in enumerate([0, 2] * 4)]
    room = host_capacities.room([host_capacities.cell(number) for number in range(4)], devices)
    refused = refusal(room, host_capacities.needs(8, vcpus=8, hw__numa_nodes="2"))
    assert refused.stage is Stage.CLAIM
    assert "then fails to pin it" in refused.detail


@given(
    st.integers(1, 8),
    st.sampled_from([2, 4, 8, 16]),
    st.lists(st.integers(0, 7), max_size=5),
    st.integers(0, 16),
)
def test_no_count_exceeds_what_there_is(gpus, vcpus, in_use, pinned):
    room = host_capacities.room(
        [host_capacities.cell(0, pinned=pinned), host_capacities.cell(1)],
        host_capacities.gpus(in_use=in_use),
        PCPU=32 - pinned,
    )
    placed, refused = count(room, host_capacities.needs(gpus, vcpus=vcpus))
    assert placed * gpus <= 8 - len(set(in_use))
    assert placed * vcpus <= 32 - pinned
    assert refused.detail
