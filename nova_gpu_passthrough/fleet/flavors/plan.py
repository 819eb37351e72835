# SPDX-License-Identifier: Apache-2.0
"""What becomes of a fleet file's flavors."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nova_gpu_passthrough.fleet.desired import Flavor
from nova_gpu_passthrough.fleet.notes import Note


@dataclass(frozen=True)
class Refused:
    """A flavor that no host could ever boot."""

    name: str
    #: GPUs of a server, and their model; 0 and None for a flavor without.
    gpus: int
    model: str | None
    #: A sentence.
    reason: str


@dataclass(frozen=True)
class Left:
    """What no server has, or all that there is for servers."""

    gpus: int = 0
    #: CPUs for pinning, or with flavors that share vCPUs those that are shared.
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
class Stranded:
    """What is left of an empty host once it is filled with servers."""

    #: Hosts that are alike.
    hosts: tuple[str, ...]
    #: How many servers of which flavors fill it; of several, it is the best mix.
    servers: Mapping[str, int]
    left: Left
    #: Of the whole host, for servers.
    whole: Left
    #: Why something is left, one clause each; empty if nothing is.
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class FlavorPlan:
    """Flavors in the order of their names, and what there is to know of them."""

    flavors: tuple[Flavor, ...] = ()
    refused: tuple[Refused, ...] = ()
    #: For each flavor, by kinds of hosts that take it, with servers of this flavor alone.
    stranded: Mapping[str, tuple[Stranded, ...]] = field(default_factory=dict)
    #: By kinds of hosts, with the mix of flavors that leaves least.
    best: tuple[Stranded, ...] = ()
    #: For each GPU flavor, the hosts that can boot it while they are empty.
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
