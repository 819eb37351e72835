# SPDX-License-Identifier: Apache-2.0
"""The constraints that keep a server from a host, and the component of Nova that applies them.

All commands show a refusal by the words of this file.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nova_gpu_passthrough.topology.fit import FitReason


class Constraint(enum.StrEnum):
    """A constraint that a host may fail to meet."""

    #: nova-compute is down or disabled.
    HOST = "host"
    #: The host is reserved for other projects.
    PROJECT = "project"
    #: The flavor requires or forbids traits.
    TRAITS = "traits"
    #: The host's aggregates do not match the flavor, or the host is in another zone.
    AGGREGATE = "aggregate"
    #: The host or its aggregates do not match the image.
    IMAGE = "image"
    #: The host's hypervisor or CPU does not match the flavor's extra specs.
    CAPABILITIES = "capabilities"
    #: A server group or a hint keeps the server away.
    AFFINITY = "affinity"
    #: The host has as many servers as it may have, or works on too many.
    SERVERS = "servers"
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
    """The component of Nova that refuses, in the order in which Nova calls them.

    ``enabled_filters`` has the order of the filters, which have their names here.
    """

    API = "nova-api"
    SERVICE = "nova-compute"
    PLACEMENT = "Placement"
    AGGREGATE_IMAGE = "AggregateImagePropertiesIsolation"
    AGGREGATE_EXTRA_SPECS = "AggregateInstanceExtraSpecsFilter"
    AGGREGATE_OPERATIONS = "AggregateIoOpsFilter"
    AGGREGATE_PROJECTS = "AggregateMultiTenancyIsolation"
    AGGREGATE_SERVERS = "AggregateNumInstancesFilter"
    AGGREGATE_FLAVORS = "AggregateTypeAffinityFilter"
    CAPABILITIES = "ComputeCapabilitiesFilter"
    DIFFERENT_HOST = "DifferentHostFilter"
    IMAGE = "ImagePropertiesFilter"
    OPERATIONS = "IoOpsFilter"
    ISOLATED_HOSTS = "IsolatedHostsFilter"
    QUERY = "JsonFilter"
    METRICS = "MetricsFilter"
    SERVERS = "NumInstancesFilter"
    SAME_HOST = "SameHostFilter"
    AFFINITY = "ServerGroupAffinityFilter"
    ANTI_AFFINITY = "ServerGroupAntiAffinityFilter"
    NETWORK = "SimpleCIDRAffinityFilter"
    GPU_FILTER = "GpuPassthroughFilter"
    NUMA_FILTER = "NUMATopologyFilter"
    CLAIM = "claim"


class FailedConstraint(NamedTuple):
    """A constraint that a host does not meet, with numbers."""

    constraint: Constraint
    detail: str


class Refusal(NamedTuple):
    """What the first component that refuses finds: the constraints that a host does not meet."""

    #: The most important one.
    constraint: Constraint
    #: Numbers of all constraints that fail.
    detail: str
    stage: Stage
    #: The reason of GpuPassthroughFilter, if that filter refuses.
    reason: FitReason | None = None
    #: The other constraints that fail for the same component.
    others: tuple[Constraint, ...] = ()

    @classmethod
    def of(cls, failed: Sequence[FailedConstraint], stage: Stage) -> "Refusal | None":
        """Combine all constraints that fail for one component; None if there is none.

        :param failed: the most important one first
        """
        if not failed:
            return None
        constraints = tuple(dict.fromkeys(one.constraint for one in failed))
        detail = "; ".join(one.detail for one in failed)
        return cls(constraints[0], detail, stage, others=constraints[1:])

    def with_others(self, failed: Sequence[FailedConstraint]) -> "Refusal":
        """Return the refusal with further constraints that fail for the same component.

        They follow a lack of devices, and precede anything else.
        """
        own = [FailedConstraint(self.constraint, self.detail)]
        lacks_devices = self.constraint in (Constraint.GPUS, Constraint.DEVICES)
        combined = Refusal.of([*own, *failed] if lacks_devices else [*failed, *own], self.stage)
        if combined is None:
            return self
        others = dict.fromkeys((*combined.constraints[1:], *self.others))
        return combined._replace(others=tuple(others))

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """Return all constraints that fail, the most important one first."""
        return (self.constraint, *self.others)

    @property
    def label(self) -> str:
        """Return the component and the constraints: "by Placement (gpus, vcpus)"."""
        return f"by {self.stage} ({', '.join(self.constraints)})"

    @property
    def text(self) -> str:
        """Return the reason of GpuPassthroughFilter, if that filter refuses, and the numbers."""
        return f"{self.reason.value}: {self.detail}" if self.reason else self.detail

    def after(self, servers: int) -> str:
        """Return `text` for a host on which so many further servers are imagined."""
        return f"after {servers} more: {self.text}" if servers and self.text else self.text


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
