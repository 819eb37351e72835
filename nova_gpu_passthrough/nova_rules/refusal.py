# SPDX-License-Identifier: Apache-2.0
"""The constraint that keeps a server from a host, and the component of Nova that applies it."""

import enum
from collections.abc import Mapping
from typing import NamedTuple

from nova_gpu_passthrough.topology.fit import FitReason


class Constraint(enum.StrEnum):
    """A constraint that a host may fail to meet."""

    #: nova-compute is down or disabled.
    HOST = "host"
    #: The flavor requires or forbids traits.
    TRAITS = "traits"
    #: The host's aggregates do not match the flavor's requirements.
    AGGREGATE = "aggregate"
    #: VCPU or PCPU in Placement.
    VCPUS = "vcpus"
    RAM = "ram"
    DISK = "disk"
    #: Another resource class of the flavor.
    RESOURCE = "resource"
    #: Too few free GPUs of the requested model.
    GPUS = "gpus"
    #: Too few free devices of another alias.
    DEVICES = "devices"
    COMPANIONS = "companions"
    #: Free GPUs are not in one link group.
    LINK = "link"
    #: Free GPUs are not behind one PCIe switch.
    SWITCH = "switch"
    #: No NUMA nodes have both free GPUs and the CPUs, memory or pages for the guest's cells.
    NUMA = "numa"
    #: The flavor is invalid for any host.
    FLAVOR = "flavor"


class Stage(enum.StrEnum):
    """The component of Nova that refuses, in the order in which Nova calls them."""

    SERVICE = "nova-compute"
    PLACEMENT = "Placement"
    GPU_FILTER = "GpuPassthroughFilter"
    NUMA_FILTER = "NUMATopologyFilter"
    CLAIM = "claim"


class Refusal(NamedTuple):
    """The first constraint that a host does not meet, with numbers."""

    constraint: Constraint
    detail: str
    stage: Stage
    #: The reason of GpuPassthroughFilter, if that filter refuses.
    reason: FitReason | None = None

    @property
    def label(self) -> str:
        """Return a short text for users: the reason of GpuPassthroughFilter or the constraint."""
        return self.reason.value if self.reason else str(self.constraint)


#: The constraint of each reason of GpuPassthroughFilter.
CONSTRAINT_OF = {
    FitReason.INVALID_REQUEST: Constraint.FLAVOR,
    FitReason.NO_GPUS: Constraint.GPUS,
    FitReason.TOO_FEW_GPUS: Constraint.GPUS,
    FitReason.TOO_FEW_DEVICES: Constraint.DEVICES,
    FitReason.COMPANIONS: Constraint.COMPANIONS,
    FitReason.LINK: Constraint.LINK,
    FitReason.SWITCH: Constraint.SWITCH,
    FitReason.NUMA: Constraint.NUMA,
    FitReason.GUEST_NUMA: Constraint.NUMA,
    FitReason.PLACEMENT: Constraint.GPUS,
    FitReason.MALFORMED: Constraint.HOST,
}


def format_counts(counts: Mapping[str, int]) -> str:
    """Format how many hosts were refused by reason: "3 too few free GPUs, 1 invalid request".

    The most frequent reason comes first.
    """
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {reason}" for reason, count in order)
