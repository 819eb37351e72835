# SPDX-License-Identifier: Apache-2.0
"""Guests of flavors; tests/unit/scheduler/test_guest_fit_against_nova.py compares with Nova."""

import pytest

from nova_gpu_passthrough.nova_rules import guest_topology
from nova_gpu_passthrough.nova_rules.guest_topology import (
    LARGE,
    CpuPolicy,
    GuestTopologyError,
    ThreadPolicy,
)
from nova_gpu_passthrough.topology.model import GuestCell


def test_a_plain_flavor_has_no_numa_topology():
    guest = guest_topology.from_flavor(4, 4096, {})
    assert (guest.cells, guest.pins, guest.pinned_cpus) == ((), False, 0)


def test_pinned_cpus_are_spread_evenly():
    guest = guest_topology.from_flavor(
        8, 4096, {"hw:cpu_policy": "dedicated", "hw:numa_nodes": "2"}
    )
    assert guest.cells == (GuestCell(0, 4, 2048), GuestCell(0, 4, 2048))
    assert (guest.cpu_policy, guest.pinned_cpus) == (CpuPolicy.DEDICATED, 8)


def test_isolated_emulator_threads_need_one_more_cpu():
    specs = {"hw:cpu_policy": "dedicated", "hw:emulator_threads_policy": "isolate"}
    assert guest_topology.from_flavor(8, 4096, specs).pinned_cpus == 9


def test_a_mixed_guest_shares_some_cpus():
    guest = guest_topology.from_flavor(
        4, 4096, {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0"}
    )
    assert guest.cells == (GuestCell(1, 3, 4096),)


@pytest.mark.parametrize(
    ("text", "size"), [("2048", 2048), ("2MB", 2048), ("1GB", 1048576), ("large", LARGE)]
)
def test_page_sizes_are_in_kib(text, size):
    assert guest_topology.from_flavor(4, 4096, {"hw:mem_page_size": text}).page_size == size


def test_the_trait_for_hyperthreading_sets_the_thread_policy():
    specs = {"hw:cpu_policy": "dedicated", "trait:HW_CPU_HYPERTHREADING": "required"}
    assert guest_topology.from_flavor(4, 4096, specs).thread_policy is ThreadPolicy.REQUIRE


@pytest.mark.parametrize(
    ("text", "cpus"), [("0-3", {0, 1, 2, 3}), ("1, 3", {1, 3}), ("0-3,^1-2", {0, 3}), ("", set())]
)
def test_lists_of_cpus(text, cpus):
    assert guest_topology.parse_cpus(text) == cpus


@pytest.mark.parametrize("text", ["3-1", "a", "1-b", "^"])
def test_an_invalid_list_of_cpus_raises(text):
    with pytest.raises(ValueError):
        guest_topology.parse_cpus(text)


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        ({"hw:cpu_policy": "pinned"}, "hw:cpu_policy is 'pinned', expected one of: shared"),
        ({"hw:numa_nodes": "3"}, "4 vCPUs and 4096 MiB cannot be divided by hw:numa_nodes=3"),
        ({"hw:mem_page_size": "huge"}, "hw:mem_page_size is 'huge', which Nova cannot read"),
        ({"hw:cpu_thread_policy": "require"}, "needs hw:cpu_policy=dedicated or mixed"),
        ({"hw:cpu_policy": "mixed"}, "needs either hw:cpu_dedicated_mask or"),
        ({"hw:locked_memory": "true"}, "hw:locked_memory needs hw:mem_page_size"),
        ({"hw:numa_nodes": "1", "hw:numa_mem.0": "4096"}, "must be given for 1 NUMA nodes"),
    ],
)
def test_a_refusal_names_the_extra_spec(specs, words):
    with pytest.raises(GuestTopologyError) as refusal:
        guest_topology.from_flavor(4, 4096, specs)
    assert words in str(refusal.value)
