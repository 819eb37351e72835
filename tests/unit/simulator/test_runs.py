# SPDX-License-Identifier: Apache-2.0
"""Many runs give what they give one by one."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.simulator import runs
from nova_gpu_passthrough.simulator.runs import Scenario
from nova_gpu_passthrough.simulator.trace import Task, Trace
from tests.unit.simulator.fleets import EIGHT, ONE, fleet, plain

TRACE = Trace([Task(ONE, 6), Task(EIGHT)])
SCENARIO = Scenario(fleet(*[plain(8)] * 4), TRACE, TRACE.mix())


@pytest.mark.parametrize("work", [runs.replay, runs.fill])
def test_processes_change_nothing(work):
    told = []

    def tell(*words):
        told.append(words)

    alone = runs.many(work, SCENARIO, ["pack", "random"], 2)
    assert [one.seed for one in alone["random"]] == [0, 1]
    assert list(alone) == ["pack", "random"]
    assert runs.many(work, SCENARIO, ["pack", "random"], 2, jobs=2, tell=tell) == alone
    assert sorted(told) == [(name, done, 2) for name in ("pack", "random") for done in (1, 2)]


def test_errors_come_from_other_processes_too():
    scenario = Scenario(fleet(plain(0)), TRACE, TRACE.mix())
    with pytest.raises(UserError, match="no host has GPUs"):
        runs.many(runs.replay, scenario, ["pack", "random"], 2, jobs=2)


def test_times_are_replayed_if_they_shall_be():
    trace = Trace([Task(ONE, 1.0, 0.0, 5.0), Task(ONE, 1.0, 10.0, 5.0)])
    scenario = Scenario(SCENARIO.fleet, trace, trace.mix(), times=True)
    assert runs.replay(scenario, "pack", 0).waiting is not None
    assert runs.replay(SCENARIO, "pack", 0).waiting is None


def test_an_unknown_ranker_is_found_before_anything_runs():
    with pytest.raises(UserError, match="ranker nope"):
        runs.many(None, SCENARIO, ["pack", "nope"], 2)
