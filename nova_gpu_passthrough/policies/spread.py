# SPDX-License-Identifier: Apache-2.0
"""The policy ``spread``: balance the load, so that the failure of a host affects few servers."""

from nova_gpu_passthrough.policies.base import FreeGpuPolicy
from nova_gpu_passthrough.topology.model import MAX_GPUS


class Spread(FreeGpuPolicy):
    """Prefers the hosts on which the most GPUs stay free."""

    def score_free_gpus(self, free: int) -> float:
        """Return 0 for a full host; linear."""
        return min(free, MAX_GPUS) / MAX_GPUS
