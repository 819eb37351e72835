# SPDX-License-Identifier: Apache-2.0
"""Counting GPUs of hosts by state, and free GPUs by whether a server could have them."""

import dataclasses

import pytest
from hypothesis import given

from nova_gpu_passthrough.cloud.report import gpu_counts
from nova_gpu_passthrough.cloud.report.gpu_counts import GpuCounts
from tests.unit.cloud.report import fleets, strategies


def test_free_gpus_are_usable_on_hosts_that_take_servers():
    found = fleets.one()
    assert gpu_counts.by_model(found) == {"H100-SXM": GpuCounts(free=8, usable=8)}


@pytest.mark.parametrize(
    "change", [{"enabled": False}, {"up": False}, {"known": False}, {"provider": None}]
)
def test_free_gpus_of_other_hosts_are_unavailable(change):
    found = fleets.one()
    host = dataclasses.replace(found.view.hosts[0], **change)
    # Capacity calls them stranded, too.
    lost = [fleets.stranded(gpu) for gpu in host.gpus]
    found = fleets.snapshot(fleets.view(host), (), lost)
    assert gpu_counts.by_model(found) == {"H100-SXM": GpuCounts(free=8, unavailable=8)}


def test_gpus_of_all_states_by_model():
    found = fleets.four()
    assert gpu_counts.by_model(found) == {
        "H100-SXM": GpuCounts(
            free=5, usable=4, stranded=1, in_use=8, reserved=1, stuck=1, missing=1
        ),
        "L40S": GpuCounts(free=3, unavailable=3, in_use=1),
    }
    assert gpu_counts.count(found, found.view.hosts[:1]) == GpuCounts(free=1, stranded=1, in_use=7)
    assert gpu_counts.count(found, found.view.hosts, "L40S").total == 4


@given(strategies.snapshots())
def test_the_states_add_up(snapshot):
    counts = gpu_counts.count(snapshot, snapshot.view.hosts)
    assert counts.free == counts.usable + counts.stranded + counts.unavailable
    assert min(dataclasses.astuple(counts)) >= 0
    by_model = gpu_counts.by_model(snapshot).values()
    assert sum(each.total for each in by_model) == counts.total
