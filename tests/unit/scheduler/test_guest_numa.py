# SPDX-License-Identifier: Apache-2.0
"""What Nova surely accepts."""

import pytest

from nova_gpu_passthrough.scheduler import requests
from nova_gpu_passthrough.scheduler.assessment import assess
from tests.unit import builders
from tests.unit.scheduler.test_agreement_with_nova import LIMITS, nova_accepts


def _situation(guest):
    """Four nodes of which the guest fits on 0 and 2; a GPU on each, NICs on 1 and 2."""
    cells = [
        builders.cell(number, cpus=cpus, pcpus=4, pinned=4, memory=4096, memory_used=used)
        for number, (cpus, used) in enumerate([(4, 200), (1, 300), (2, 400), (4, 5000)])
    ]
    free = [
        builders.pool(number, node=number, host="host", gpu_switch="ab"[number % 2])
        for number in range(4)
    ]
    free += [builders.pool(0x40 + n, builders.NIC, n, host="host") for n in (2, 1)]
    asked = [
        builders.pci_request(1, numa_policy="legacy"),
        builders.pci_request(1, builders.NIC, "nic", "preferred"),
    ]
    state = builders.host_state("host", free, cells)
    numa = builders.guest_numa(*guest)
    spec = builders.request_spec(*asked, in_placement=True, numa=numa)
    state.allocation_candidates = builders.candidates(state, spec)
    return state, spec


def _surely(state, spec):
    """Of each choice of ours, whether Nova surely accepts it, and whether it does."""
    request = requests.read(spec, (), ())
    for choice in assess(state, request).choices:
        mapping = {
            group: [device.provider]
            for alias, groups in request.groups.items()
            for group, device in zip(groups, choice.devices[alias], strict=True)
        }
        sure = requests.surely_fits(state, spec, choice)
        yield sure, nova_accepts(state, spec, mapping, LIMITS)


@pytest.mark.parametrize("guest", [[(1, 0, 512), (3, 0, 512)], [(3, 0, 512), (1, 0, 512)]])
def test_nothing_is_sure_of_a_guest_whose_cells_differ(guest):
    # Nova may refuse it on this host although it fits, by the order of its cells.
    assert not any(sure for sure, _ in _surely(*_situation(guest)))


def test_a_guest_whose_cells_are_alike_is_surely_accepted():
    verdicts = list(_surely(*_situation([(2, 0, 512), (2, 0, 512)])))
    assert (True, True) in verdicts
    assert (True, False) not in verdicts
