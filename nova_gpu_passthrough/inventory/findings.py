# SPDX-License-Identifier: Apache-2.0
"""What the audit has to say about a host or a GPU."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class Remedy(enum.StrEnum):
    """Who can fix a failure, on which a GPU's verdict depends."""

    NONE = "none"
    #: A setting or package of the host; ``nova-gpu config generate`` writes most settings.
    CONFIGURATION = "configuration"
    #: A setting of the machine's firmware.
    FIRMWARE = "firmware"
    #: Another slot, cable, card or machine.
    HARDWARE = "hardware"


class Verdict(enum.StrEnum):
    """Whether a server can get a GPU."""

    READY = "ready"
    #: Every failure goes away with generated configuration or a firmware setting.
    CONFIGURE = "ready after configuration"
    UNFIT = "unfit"


#: Subject of findings about the whole host, which hold for each of its GPUs.
HOST = "host"
#: Id of the finding that sums up a GPU's others.
VERDICT = "verdict"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the audit looked at."""

    #: Dotted name of the check and its outcome, such as ``iommu.off``; documented, so kept.
    id: str
    severity: Severity
    #: `HOST` or a PCI address.
    subject: str
    #: What was read, with numbers and units.
    found: str
    #: Where it was read: a path below the root, a file, a URL.
    source: str
    #: Why it matters for passthrough; may be empty where all is well.
    why: str = ""
    #: How to fix it; may be empty where all is well.
    fix: str = ""
    remedy: Remedy = Remedy.NONE


def failures_of(findings: Iterable[Finding], address: str) -> tuple[Finding, ...]:
    """The failures that hold for a GPU, its own and the host's, but for the verdict itself."""
    return tuple(
        finding
        for finding in findings
        if finding.severity is Severity.FAILURE
        and finding.subject in (HOST, address)
        and finding.id != VERDICT
    )
