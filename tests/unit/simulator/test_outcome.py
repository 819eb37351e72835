# SPDX-License-Identifier: Apache-2.0
"""Values over several seeds."""

from nova_gpu_passthrough.simulator.outcome import Outcome, Summary


def test_values_and_their_mean_over_seeds():
    runs = [Outcome(seed, 8, 50.0, free, 4, 0, 4) for seed, free in enumerate((1.0, 2.0, 6.0))]
    summary = Summary("pack", runs)
    assert summary.of(lambda one: one.unallocated_gpus) == [1, 2, 6]
    assert summary.mean(lambda one: one.unallocated_gpus) == 3
