# SPDX-License-Identifier: Apache-2.0
"""Fill hosts up, so that whole hosts stay free for large requests."""

from nova_gpu_passthrough.policies.base import Policy, free_after
from nova_gpu_passthrough.topology.fit import DeviceChoice
from nova_gpu_passthrough.topology.model import MAX_GPUS, GpuRequest, HostGpus


class Pack(Policy):
    """The fewer matching GPUs stay free, the better."""

    def score(self, host: HostGpus, request: GpuRequest, choice: DeviceChoice) -> float:
        """1 for a host that the request fills up; linear, so that one GPU always counts alike."""
        return 1 - min(free_after(host, request), MAX_GPUS) / MAX_GPUS
