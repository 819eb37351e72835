# SPDX-License-Identifier: Apache-2.0
"""Even out the load, so that one host's failure takes few servers along."""

from nova_gpu_passthrough.policies.base import Policy, free_after
from nova_gpu_passthrough.topology.fit import DeviceChoice
from nova_gpu_passthrough.topology.model import MAX_GPUS, GpuRequest, HostGpus


class Spread(Policy):
    """The more matching GPUs stay free, the better."""

    def score(self, host: HostGpus, request: GpuRequest, choice: DeviceChoice) -> float:
        """0 for a host that the request fills up."""
        return min(free_after(host, request), MAX_GPUS) / MAX_GPUS
