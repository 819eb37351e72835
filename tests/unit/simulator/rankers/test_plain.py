# SPDX-License-Identifier: Apache-2.0
"""Rankers that look at free amounts."""

import pytest

from nova_gpu_passthrough.simulator.rankers import plain as rankers
from tests.unit.simulator.fleets import CPU, ONE, begun, chosen, fleet, plain

HOSTS = fleet(plain(8), plain(2), plain(4))


@pytest.mark.parametrize(
    "ranker, with_gpus, without",
    [(rankers.Pack, 1, 1), (rankers.Spread, 0, 1)],
)
def test_the_fewest_or_the_most_free_gpus(ranker, with_gpus, without):
    made = begun(ranker(), HOSTS)
    assert chosen(made, HOSTS, ONE) == with_gpus
    assert chosen(made, HOSTS, CPU) == without


def test_of_equal_hosts_the_first_is_taken():
    hosts = fleet(plain(4), plain(2), plain(2))
    assert chosen(begun(rankers.Pack(), hosts), hosts, ONE) == 1


def test_best_fit_leaves_the_least_of_all_together():
    # Parts of the largest: 1/2 + 1 + 1/2 and 1 + 1/4 + 1/2.
    hosts = fleet(plain(4, vcpus=16, ram=320), plain(4, vcpus=32, ram=80), plain(8, 32, 320))
    assert chosen(begun(rankers.BestFit(), hosts), hosts, ONE) == 1


def test_chance_takes_every_host_and_depends_on_the_seed_only():
    def several(seed):
        made = begun(rankers.Random(), HOSTS, seed=seed)
        return [chosen(made, HOSTS, ONE) for _ in range(30)]

    assert set(several(1)) == {0, 1, 2}
    assert several(1) == several(1)
    assert several(1) != several(2)
