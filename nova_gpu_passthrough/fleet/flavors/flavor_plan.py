# SPDX-License-Identifier: Apache-2.0
"""The flavors of a fleet, refused flavors, and the resources that no server can use."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nova_gpu_passthrough.fleet.desired_state import Flavor
from nova_gpu_passthrough.fleet.offers import Note


@dataclass(frozen=True)
class RefusedFlavor:
    """A flavor that no host can boot, even without other servers."""

    name: str
    #: The number and the model of the GPUs of a server; 0 and None without GPUs.
    gpus: int
    model: str | None
    #: Why, as a sentence.
    reason: str


@dataclass(frozen=True)
class HostResources:
    """GPUs, vCPUs and memory of a host for servers: all of them, or those that are left."""

    gpus: int = 0
    #: CPUs for pinned vCPUs, or for shared vCPUs if the flavors do not pin them.
    vcpus: int = 0
    ram_mib: int = 0

    def __bool__(self) -> bool:
        return bool(self.gpus or self.vcpus or self.ram_mib)

    def __str__(self) -> str:
        parts = [
            f"{self.gpus} GPUs" if self.gpus else "",
            f"{self.vcpus} vCPUs" if self.vcpus else "",
            f"{self.ram_mib} MiB" if self.ram_mib else "",
        ]
        return ", ".join(filter(None, parts)) or "nothing"


@dataclass(frozen=True)
class StrandedResources:
    """The resources of a host that are left when it is full of servers."""

    #: Equal hosts.
    hosts: tuple[str, ...]
    #: The number of servers by flavor; with several flavors, of the mix that leaves least.
    servers: Mapping[str, int]
    left: HostResources
    #: The resources of an empty host.
    total: HostResources
    #: Why resources are left, one clause each; empty if none are.
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class FlavorPlan:
    """The flavors of a fleet, sorted by name, with their hosts and the resources they leave."""

    flavors: tuple[Flavor, ...] = ()
    refused: tuple[RefusedFlavor, ...] = ()
    #: By flavor: hosts full of servers of this flavor, an entry for each set of equal hosts.
    stranded: Mapping[str, tuple[StrandedResources, ...]] = field(default_factory=dict)
    #: Hosts full of the mix of flavors that leaves least, an entry for each set of equal hosts.
    best: tuple[StrandedResources, ...] = ()
    #: By GPU flavor: the hosts that can boot it while they are empty.
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
