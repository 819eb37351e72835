# SPDX-License-Identifier: Apache-2.0
"""The policy ``pack``: fill hosts, so that whole hosts stay free for large requests."""

from nova_gpu_passthrough.policies.base import FreeGpuPolicy
from nova_gpu_passthrough.topology.model import MAX_GPUS


class Pack(FreeGpuPolicy):
    """Prefers the hosts on which the fewest GPUs stay free."""

    def score_free_gpus(self, free: int) -> float:
        """Return 1 for a full host; linear, so that one GPU always counts the same."""
        return 1 - min(free, MAX_GPUS) / MAX_GPUS
