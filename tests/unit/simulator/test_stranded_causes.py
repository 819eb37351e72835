# SPDX-License-Identifier: Apache-2.0
"""Free GPUs that no server can use, by cause."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.packing.host_state import canonical
from nova_gpu_passthrough.simulator import stranded_causes
from nova_gpu_passthrough.simulator.stranded_causes import StrandedCause
from tests.unit.packing.host_states import cell, classes, host, request_class
from tests.unit.simulator.fleets import CPU, ONE, canonical_states, plain

PAIR = request_class(2, vcpus=4, ram_mib=40)


@pytest.mark.parametrize(
    "state, some, expected",
    [
        (plain(8), ONE, {}),
        (plain(0), ONE, {}),
        (plain(8, vcpus=23), ONE, {StrandedCause.VCPUS: 3}),
        (plain(8, ram=160), ONE, {StrandedCause.RAM: 4}),
        (plain(8, vcpus=20, ram=160), ONE, {StrandedCause.RAM: 1, StrandedCause.VCPUS: 3}),
        (plain(8, vcpus=16, ram=160), ONE, {StrandedCause.SEVERAL: 4}),
        (plain(3), PAIR, {StrandedCause.GPUS: 1}),
        (plain(2), request_class(1, model="L40S"), {StrandedCause.GPUS: 2}),
        (canonical(host(cell(1), cell(1))), request_class(2, cells=1), {StrandedCause.NUMA: 2}),
        (
            canonical(host(cell(2), cell(2))),
            request_class(2, linked=True),
            {StrandedCause.LINKS: 4},
        ),
        (plain(2)._replace(disk_gib=5), request_class(1, disk_gib=5), {StrandedCause.DISK: 1}),
    ],
)
def test_causes(state, some, expected):
    assert stranded_causes.count_by_cause([state], [some, CPU]) == expected


def test_hosts_are_summed():
    lacking = plain(8, vcpus=23)
    assert stranded_causes.count_by_cause([lacking, lacking, plain(3)], [ONE]) == {
        StrandedCause.VCPUS: 6
    }


@settings(deadline=None)
@given(canonical_states, st.lists(classes(least_gpus=1), min_size=1, max_size=3))
def test_stranded_and_usable_gpus_are_all_free_gpus(state, some):
    found = stranded_causes.count_by_cause([state], some)
    assert sum(found.values()) == state.free_gpus - stranded_causes.usable(state, some)
    assert all(count > 0 for count in found.values())
