# SPDX-License-Identifier: Apache-2.0
"""Free GPUs that nobody can use, by what they lack."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.packing.host_state import canonical
from nova_gpu_passthrough.simulator import stranded
from nova_gpu_passthrough.simulator.stranded import Cause
from tests.unit.packing.host_states import cell, classes, host, wanted
from tests.unit.simulator.fleets import CPU, ONE, canonical_states, plain

PAIR = wanted(2, vcpus=4, ram_mib=40)


@pytest.mark.parametrize(
    "state, some, expected",
    [
        (plain(8), ONE, {}),
        (plain(0), ONE, {}),
        (plain(8, vcpus=23), ONE, {Cause.VCPUS: 3}),
        (plain(8, ram=160), ONE, {Cause.RAM: 4}),
        (plain(8, vcpus=20, ram=160), ONE, {Cause.RAM: 1, Cause.VCPUS: 3}),
        (plain(8, vcpus=16, ram=160), ONE, {Cause.SEVERAL: 4}),
        (plain(3), PAIR, {Cause.GPUS: 1}),
        (plain(2), wanted(1, model="L40S"), {Cause.GPUS: 2}),
        (canonical(host(cell(1), cell(1))), wanted(2, cells=1), {Cause.NUMA: 2}),
        (canonical(host(cell(2), cell(2))), wanted(2, linked=True), {Cause.LINKS: 4}),
        (plain(2)._replace(disk_gib=5), wanted(1, disk_gib=5), {Cause.DISK: 1}),
    ],
)
def test_causes(state, some, expected):
    assert stranded.count([state], [some, CPU]) == expected


def test_hosts_are_added_up():
    lacking = plain(8, vcpus=23)
    assert stranded.count([lacking, lacking, plain(3)], [ONE]) == {Cause.VCPUS: 6}


@settings(deadline=None)
@given(canonical_states, st.lists(classes(least_gpus=1), min_size=1, max_size=3))
def test_stranded_and_usable_are_all_that_is_free(state, some):
    found = stranded.count([state], some)
    assert sum(found.values()) == state.free_gpus - stranded.usable(state, some)
    assert all(count > 0 for count in found.values())
