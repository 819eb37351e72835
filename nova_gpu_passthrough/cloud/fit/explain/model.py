# SPDX-License-Identifier: Apache-2.0
"""What every host answers to a server of a flavor, as plain immutable data."""

import enum
from dataclasses import dataclass

from nova_gpu_passthrough.nova_rules.why_not import Refused


class Answer(enum.StrEnum):
    """What a host says."""

    HERE = "here"
    FITS = "fits"
    REFUSED = "refused"


@dataclass(frozen=True)
class HostAnswer:
    """One host's answer, as things are now."""

    host: str
    answer: Answer
    #: Devices, NUMA nodes and links, or numbers of what is short.
    detail: str
    refused: Refused | None = None
    #: GpuPassthroughWeigher's, 0..1; None where it has none to give.
    weight: float | None = None

    @property
    def constraint(self) -> str:
        """Who refuses and why, in few words; empty for a host that does not."""
        return f"{self.refused.stage}: {self.refused.constraint}" if self.refused else ""


@dataclass(frozen=True)
class Explanation:
    """All of it."""

    #: One or more sentences.
    summary: tuple[str, ...]
    #: The server's own host first, then those that fit, the best first, then the others.
    hosts: tuple[HostAnswer, ...]
    #: What is not sure, one sentence each.
    notes: tuple[str, ...] = ()
