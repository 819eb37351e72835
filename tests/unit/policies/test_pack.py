# SPDX-License-Identifier: Apache-2.0
"""The policy ``pack``."""

from nova_gpu_passthrough.policies.pack import Pack
from nova_gpu_passthrough.topology.fit import fit
from tests.unit.builders import gpu, gpu_request, host_gpus


def score(policy, free, count):
    host, request = host_gpus([gpu(n) for n in range(free)]), gpu_request(count)
    return policy.score(host, request, fit(host, request)[0])


def test_the_fullest_host_is_preferred():
    assert score(Pack(), 2, 2) == 1.0
    assert score(Pack(), 2, 1) > score(Pack(), 4, 1) > score(Pack(), 8, 1) > 0
