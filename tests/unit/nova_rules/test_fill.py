# SPDX-License-Identifier: Apache-2.0
"""Hosts are filled with servers until the next one is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.nova_rules import fill, server_fit
from nova_gpu_passthrough.nova_rules.fill import count_fitting
from nova_gpu_passthrough.nova_rules.refusal import Constraint
from tests.unit.nova_rules.host_capacities import cell, free_capacity, gpus, server_demand


def test_servers_fit_until_the_gpus_run_out():
    assert count_fitting(free_capacity(), server_demand())[0] == 8
    assert count_fitting(free_capacity(), server_demand(2))[0] == 4
    assert count_fitting(free_capacity(), server_demand(4, vcpus=16))[0] == 2
    assert (
        count_fitting(
            free_capacity(),
            server_demand(8, vcpus=32, hw__numa_nodes="2"),
        )[0]
        == 1
    )


def test_the_last_refusal_names_the_gpus_if_they_run_out():
    count, refusal = count_fitting(free_capacity(), server_demand(1, vcpus=4))
    assert (count, refusal.constraint) == (8, Constraint.GPUS)
    assert refusal.detail == "CUSTOM_H100: 1 requested, 0 free; PCPU: 4 requested, 0 of 32 free"


def test_devices_in_use_are_those_of_now_however_many_servers_are_imagined():
    devices = gpus(in_use=[0, 1, 2], reserved=[3])
    count, refusal = count_fitting(free_capacity(devices=devices), server_demand(1, vcpus=2))
    assert count == 4
    assert refusal.after(count) == (
        "after 4 more: CUSTOM_H100: 1 requested, 0 free, 3 in use, 1 reserved"
    )


def test_the_last_refusal_names_the_cpus_if_gpus_are_left():
    count, refusal = count_fitting(free_capacity(), server_demand(1, vcpus=6))
    assert (count, refusal.constraint) == (4, Constraint.VCPUS)
    assert "6 pinned" in refusal.detail


@given(
    st.integers(1, 8),
    st.sampled_from([2, 4, 8, 16]),
    st.lists(st.integers(0, 7), max_size=5),
    st.integers(0, 16),
)
def test_the_count_never_exceeds_the_capacity(gpu_count, vcpus, in_use, pinned):
    capacity = free_capacity(
        [cell(0, pinned=pinned), cell(1)],
        gpus(in_use=in_use),
        PCPU=32 - pinned,
    )
    count, refusal = count_fitting(capacity, server_demand(gpu_count, vcpus=vcpus))
    assert count * gpu_count <= 8 - len(set(in_use))
    assert count * vcpus <= 32 - pinned
    assert refusal.detail


def free_gpus(capacity):
    return (sum(device.free for device in capacity.devices),)


def test_flavors_follow_each_other():
    demands = {"four": server_demand(4, vcpus=16), "one": server_demand(1, vcpus=4)}
    # Six GPUs, of which four are on the first NUMA node.
    filled = fill.fill(free_capacity(devices=gpus(range(6))), demands)
    assert filled.servers == {"four": 1, "one": 2}
    assert free_gpus(filled.capacity) == (0,)
    assert filled.refusal.constraint is Constraint.GPUS


def test_the_best_way_may_start_with_another_flavor():
    # Eight CPUs of each node: a server with two GPUs uses all of them, two small ones use half.
    capacity = free_capacity([cell(0, cores=4), cell(1, cores=4)], gpus())
    demands = {"two": server_demand(2, vcpus=8), "one": server_demand(1, vcpus=2)}
    assert free_gpus(fill.fill(capacity, demands).capacity) == (4,)
    best = fill.fill_best(capacity, demands, free_gpus)
    assert best.servers == {"one": 8}
    assert free_gpus(best.capacity) == (0,)


def test_the_first_of_equally_good_ways_wins_without_further_tries(monkeypatch):
    tried = []
    real = server_fit.fit_server
    monkeypatch.setattr(
        server_fit, "fit_server", lambda *args: tried.append(args[1]) or real(*args)
    )
    demands = {"two": server_demand(2), "one": server_demand()}
    assert fill.fill_best(free_capacity(), demands, free_gpus).servers == {"two": 4}
    assert tried == [demands["two"]] * 5 + [demands["one"]]


def test_a_host_needs_a_flavor():
    with pytest.raises(ValueError, match="no flavor"):
        fill.fill(free_capacity(), {})
    with pytest.raises(ValueError, match="no flavor"):
        fill.fill_best(free_capacity(), {}, free_gpus)
