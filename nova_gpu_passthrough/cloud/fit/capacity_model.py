# SPDX-License-Identifier: Apache-2.0
"""Capacity as plain immutable data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nova_gpu_passthrough.nova_rules.why_not import Cause, Refused

__all__ = ["Capacity", "Cause", "FlavorCapacity", "Refused", "StrandedGpu"]


@dataclass(frozen=True)
class FlavorCapacity:
    """How many more servers of one flavor fit now, if no other servers come."""

    flavor: str
    #: GPUs of one server, and their model; None where it asks for several models.
    gpus: int
    model: str | None
    #: The sum over all hosts.
    servers: int
    #: Servers that fit, by host; every host of the cloud, with 0 where none fits.
    by_host: Mapping[str, int] = field(default_factory=dict)
    #: What refuses the server after the last that fits, by host.
    limits: Mapping[str, Refused] = field(default_factory=dict)
    #: False where something of the flavor or its hosts is not known; ``notes`` say what.
    exact: bool = True
    #: One sentence each, with the name of the flavor or the host.
    notes: tuple[str, ...] = ()
    #: Hosts that have GPUs of the kind, free or not.
    having: frozenset[str] = frozenset()

    @property
    def hosts(self) -> int:
        """How many hosts take at least one more server."""
        return sum(1 for servers in self.by_host.values() if servers)

    @property
    def limited_by(self) -> Cause | None:
        """The cause that most hosts meet after the last server that fits; None without hosts.

        Hosts that have no GPU of the kind at all count only where no host has one.
        """
        causes = [
            refused.cause
            for host, refused in self.limits.items()
            if not self.having or host in self.having
        ]
        order = list(Cause)
        return max(causes, key=lambda c: (causes.count(c), -order.index(c)), default=None)


@dataclass(frozen=True)
class StrandedGpu:
    """A free GPU that no server of any GPU flavor can use now.

    A host's GPUs of one model are filled up with further servers in the best way found; what is
    free after that is stranded.
    """

    host: str
    address: str
    model: str
    #: The first constraint that fails, after that fill, for the flavor with the fewest GPUs.
    cause: Cause
    detail: str
    #: That flavor; None where no flavor of the cloud asks for the model.
    flavor: str | None = None


@dataclass(frozen=True)
class Capacity:
    """All of it at one moment."""

    #: ISO 8601 in UTC, the view's.
    taken_at: str
    #: GPU flavors, by model, GPUs and name.
    flavors: tuple[FlavorCapacity, ...] = ()
    #: By host and address.
    stranded: tuple[StrandedGpu, ...] = ()
    #: What could not be read or is not sure, one sentence each.
    notes: tuple[str, ...] = ()
