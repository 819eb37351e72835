# SPDX-License-Identifier: Apache-2.0
"""Runs of several rankers and seeds, in one or several processes."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.simulator import batch
from nova_gpu_passthrough.simulator.batch import SimulationInput
from nova_gpu_passthrough.simulator.trace import Task, Trace
from tests.unit.simulator.fleets import EIGHT, ONE, fleet, plain

TRACE = Trace([Task(ONE, 6), Task(EIGHT)])
SIMULATION = SimulationInput(fleet(*[plain(8)] * 4), TRACE, TRACE.mix())


@pytest.mark.parametrize("work", [batch.replay, batch.fill])
def test_parallel_processes_give_the_same_results(work):
    reported = []

    def progress(*words):
        reported.append(words)

    alone = batch.run_all(work, SIMULATION, ["pack", "random"], 2)
    assert [one.seed for one in alone["random"]] == [0, 1]
    assert list(alone) == ["pack", "random"]
    assert (
        batch.run_all(work, SIMULATION, ["pack", "random"], 2, jobs=2, progress=progress) == alone
    )
    assert sorted(reported) == [(name, done, 2) for name in ("pack", "random") for done in (1, 2)]


def test_errors_of_other_processes_are_raised():
    simulation = SimulationInput(fleet(plain(0)), TRACE, TRACE.mix())
    with pytest.raises(UserError, match="no host has GPUs"):
        batch.run_all(batch.replay, simulation, ["pack", "random"], 2, jobs=2)


def test_times_are_replayed_on_request():
    trace = Trace([Task(ONE, 1.0, 0.0, 5.0), Task(ONE, 1.0, 10.0, 5.0)])
    simulation = SimulationInput(SIMULATION.fleet, trace, trace.mix(), times=True)
    assert batch.replay(simulation, "pack", 0).waiting is not None
    assert batch.replay(SIMULATION, "pack", 0).waiting is None


def test_an_unknown_ranker_is_refused_before_anything_runs():
    with pytest.raises(UserError, match="ranker nope"):
        batch.run_all(None, SIMULATION, ["pack", "nope"], 2)
