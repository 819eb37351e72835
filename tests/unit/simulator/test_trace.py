# SPDX-License-Identifier: Apache-2.0
"""Lists of tasks."""

from nova_gpu_passthrough.simulator.trace import Task, Trace
from tests.unit.packing.host_states import wanted


def test_equal_classes_are_counted_together():
    trace = Trace([Task(wanted(1), 2), Task(wanted(2)), Task(wanted(1))])
    assert trace.mix() == {wanted(1): 3, wanted(2): 1}


def test_times_are_known_of_all_or_none():
    assert Trace([Task(wanted(1), arrival=0.0)]).has_times
    assert not Trace([Task(wanted(1), arrival=0.0), Task(wanted(1))]).has_times
    assert not Trace([]).has_times
