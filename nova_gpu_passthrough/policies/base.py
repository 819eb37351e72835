# SPDX-License-Identifier: Apache-2.0
"""What a ranking policy is, and how one is found by its name."""

import abc

from stevedore import ExtensionManager

from nova_gpu_passthrough.topology.fit import DeviceChoice
from nova_gpu_passthrough.topology.model import GpuRequest, HostGpus

#: Packages add policies of their own under this entry point namespace.
NAMESPACE = "nova_gpu_passthrough.policies"


class UnknownPolicyError(LookupError):
    """No installed package has a policy of that name."""


class Policy(abc.ABC):
    """Ranks the hosts that fit a request."""

    @abc.abstractmethod
    def score(self, host: HostGpus, request: GpuRequest, choice: DeviceChoice) -> float:
        """How good it is to place ``request`` on ``host`` with ``choice``.

        :returns: 0..1 on a fixed scale, the higher the better: the score of a host must not
            depend on the other hosts
        """


def free_after(host: HostGpus, request: GpuRequest) -> int:
    """How many GPUs that match the request stay free on the host once it is placed."""
    free = {gpu for demand in request.gpus for gpu in host.gpus[demand.id]}
    return len(free) - request.count


def load(name: str) -> Policy:
    """Make the policy that is installed as ``name``.

    :raises UnknownPolicyError: if there is none; the message names those that there are
    """
    manager: ExtensionManager[Policy] = ExtensionManager(NAMESPACE, invoke_on_load=False)
    if name not in manager:
        raise UnknownPolicyError(
            f"policy {name!r} is not installed, expected one of: "
            f"{', '.join(sorted(manager.names())) or 'none is installed'}"
        )
    policy: Policy = manager[name].plugin()
    return policy
