# SPDX-License-Identifier: Apache-2.0
"""Random hosts."""

from nova_gpu_passthrough.simulator.rankers.random_host import RandomRanker
from tests.unit.simulator.fleets import ONE, begun, chosen, fleet, plain


def test_every_host_is_chosen_and_only_the_seed_decides():
    hosts = fleet(plain(8), plain(2), plain(4))

    def several(seed):
        ranker = begun(RandomRanker(), hosts, seed=seed)
        return [chosen(ranker, hosts, ONE) for _ in range(30)]

    assert set(several(1)) == {0, 1, 2}
    assert several(1) == several(1)
    assert several(1) != several(2)
