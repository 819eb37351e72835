# SPDX-License-Identifier: Apache-2.0
"""Canonical forms of host states."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.packing import host_state
from nova_gpu_passthrough.packing.host_state import GpuGroup, HostState, canonical, interned
from tests.unit.packing.host_states import cell, gpus, host, states


def test_the_order_of_cells_does_not_matter():
    assert canonical(host(cell(1), cell(3))) == canonical(host(cell(3), cell(1)))


def test_names_of_link_groups_do_not_matter():
    one = host(cell(4, link=7), cell(2, link=3), loose=gpus(2, link=3))
    other = host(cell(2, link=5), cell(4, link=6), loose=gpus(2, link=5))
    assert canonical(one) == canonical(other)


def test_which_gpus_are_linked_matters():
    assert canonical(host(cell(2, link=1), cell(2, link=1))) != canonical(
        host(cell(2, link=1), cell(2, link=2))
    )


def test_the_last_gpu_of_a_link_group_is_linked_to_none():
    assert canonical(host(cell(1, link=1))) == canonical(host(cell(1)))


def test_groups_without_free_gpus_are_dropped():
    empty = host(cell(0)._replace(gpus=(GpuGroup("H100", 0, 0), GpuGroup("L40S", 2, -1))))
    assert canonical(empty) == canonical(host(cell(0)))


def test_negative_amounts_count_as_zero():
    state = canonical(host(cell(1, cpus=-3, ram=-1), vcpus=-5, ram=-7))
    assert state == canonical(host(cell(1, cpus=0, ram=0), vcpus=0, ram=0))


def test_all_free_gpus_are_counted():
    assert host(cell(3), cell(0), loose=gpus(2, "L40S")).free_gpus == 5


@settings(max_examples=200, deadline=None)
@given(states(), st.randoms(use_true_random=False))
def test_the_form_is_stable_and_independent_of_the_order_of_cells(state, rng):
    form = canonical(state)
    assert canonical(form) == form
    cells = list(state.cells)
    rng.shuffle(cells)
    shuffled = canonical(HostState(tuple(cells), *state[1:]))
    # Links that connect equal cells crosswise may get other numbers.
    assert shuffled._replace(cells=()) == form._replace(cells=()) or form.gpus
    assert sorted(c[:3] for c in shuffled.cells) == [c[:3] for c in form.cells]
    assert shuffled.free_gpus == form.free_gpus
    if not any(group.link for group in form.gpu_groups()):
        assert shuffled == form


def test_like_hosts_share_the_objects_of_their_cells():
    one, other = (canonical(host(cell(4), cell(4, ram=ram))) for ram in (1, 2))
    assert one != other
    (cell_of_one,) = set(one.cells) & set(other.cells)
    assert any(cell_of_one is each for each in one.cells)
    assert any(cell_of_one is each for each in other.cells)


def test_the_number_of_interned_values_is_limited(monkeypatch):
    monkeypatch.setattr(host_state, "_values", {})
    monkeypatch.setattr(host_state, "_MAX_INTERNED", 3)
    for number in range(10):
        assert interned((number,)) == (number,)
        assert len(host_state._values) <= 3
    assert interned((9,)) is interned((9,))
