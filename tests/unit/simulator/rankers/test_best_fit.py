# SPDX-License-Identifier: Apache-2.0
"""Best fit over vCPUs, RAM and GPUs."""

from nova_gpu_passthrough.simulator.rankers.best_fit import BestFitRanker
from tests.unit.simulator.fleets import ONE, begun, chosen, fleet, plain


def test_the_host_with_the_least_left_of_all_resources_is_chosen():
    # Fractions of the largest amounts: 1/2 + 1 + 1/2 and 1 + 1/4 + 1/2.
    hosts = fleet(plain(4, vcpus=16, ram=320), plain(4, vcpus=32, ram=80), plain(8, 32, 320))
    assert chosen(begun(BestFitRanker(), hosts), hosts, ONE) == 1
