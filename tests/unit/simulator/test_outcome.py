# SPDX-License-Identifier: Apache-2.0
"""Numbers of several runs."""

import pytest

from nova_gpu_passthrough.simulator.outcome import Outcome, Summary


def test_mean_and_spread_over_seeds():
    runs = [Outcome(seed, 8, 50.0, free, 4, 0, 4) for seed, free in enumerate((1.0, 2.0, 6.0))]
    summary = Summary("pack", runs)
    assert summary.of(lambda one: one.unallocated_gpus) == [1, 2, 6]
    assert summary.mean(lambda one: one.unallocated_gpus) == 3
    assert summary.spread(lambda one: one.unallocated_gpus) == pytest.approx(7**0.5)
    assert Summary("pack", runs[:1]).spread(lambda one: one.unallocated_gpus) == 0
