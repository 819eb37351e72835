# SPDX-License-Identifier: Apache-2.0
"""Why a host takes no (further) server, in the words of who counts what is left."""

import enum
from collections.abc import Mapping
from typing import NamedTuple

from nova_gpu_passthrough.topology.fit import Reason


class Cause(enum.StrEnum):
    """What a host is short of, or what keeps it from taking a server."""

    #: nova-compute is down or disabled.
    HOST = "host"
    #: The flavor requires or forbids traits.
    TRAITS = "traits"
    #: The host's aggregates and what the flavor asks of them.
    AGGREGATE = "aggregate"
    #: VCPU or PCPU in Placement.
    VCPUS = "vcpus"
    RAM = "ram"
    DISK = "disk"
    #: Another resource class of the flavor.
    RESOURCE = "resource"
    #: Too few free GPUs of the kind, or none.
    GPUS = "gpus"
    #: Too few free devices of another alias.
    DEVICES = "devices"
    COMPANIONS = "companions"
    #: Free GPUs are not in one link group.
    LINK = "link"
    #: Free GPUs are not behind one PCIe switch.
    SWITCH = "switch"
    #: No NUMA nodes have both: free GPUs, and CPUs, memory or pages for the guest's cells.
    NUMA = "numa"
    #: The flavor makes no sense: no host ever takes it.
    FLAVOR = "flavor"


class Stage(enum.StrEnum):
    """Who refuses, in the order in which Nova asks them."""

    SERVICE = "nova-compute"
    PLACEMENT = "Placement"
    GPU_FILTER = "GpuPassthroughFilter"
    NUMA_FILTER = "NUMATopologyFilter"
    CLAIM = "claim"


class Refused(NamedTuple):
    """The first constraint that fails on a host, with numbers."""

    cause: Cause
    detail: str
    stage: Stage
    #: What GpuPassthroughFilter says, where it is the filter that refuses.
    reason: Reason | None = None

    @property
    def constraint(self) -> str:
        """A few words for people: the filter's own, where it is the filter that refuses."""
        return self.reason.value if self.reason else str(self.cause)


#: What the filter's reasons are in these words.
CAUSE_OF = {
    Reason.INVALID_REQUEST: Cause.FLAVOR,
    Reason.NO_GPUS: Cause.GPUS,
    Reason.TOO_FEW_GPUS: Cause.GPUS,
    Reason.TOO_FEW_DEVICES: Cause.DEVICES,
    Reason.COMPANIONS: Cause.COMPANIONS,
    Reason.LINK: Cause.LINK,
    Reason.SWITCH: Cause.SWITCH,
    Reason.NUMA: Cause.NUMA,
    Reason.GUEST_NUMA: Cause.NUMA,
    Reason.PLACEMENT: Cause.GPUS,
    Reason.MALFORMED: Cause.HOST,
}


def counted(reasons: Mapping[str, int]) -> str:
    """How many hosts each reason refused, the most frequent first: "3 too few free GPUs, 1 ...".

    Filter and explanation say it in the same words.
    """
    order = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {reason}" for reason, count in order)
