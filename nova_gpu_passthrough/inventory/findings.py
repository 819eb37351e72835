# SPDX-License-Identifier: Apache-2.0
"""Findings of the audit about a host or a GPU, and verdicts."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """Severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class Remedy(enum.StrEnum):
    """What has to change to fix a failure; the verdict of a GPU depends on it."""

    NONE = "none"
    #: A setting or package of the host; ``nova-gpu config generate`` writes most settings.
    CONFIGURATION = "configuration"
    #: A setting of the machine's firmware.
    FIRMWARE = "firmware"
    #: Another slot, cable, card or machine.
    HARDWARE = "hardware"


class Verdict(enum.StrEnum):
    """Whether a GPU can be passed through to a server."""

    READY = "ready"
    #: Configuration or firmware settings fix every failure.
    CONFIGURE = "ready after configuration"
    UNFIT = "unfit"


#: Subject of findings about the whole host, which apply to each of its GPUs.
HOST = "host"
#: Id of the finding that summarizes the other findings about a GPU.
VERDICT = "verdict"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check on a host or a GPU."""

    #: Check and outcome, such as ``iommu.off``; documented, so never renamed.
    id: str
    severity: Severity
    #: `HOST` or a PCI address.
    subject: str
    #: What was read, with numbers and units.
    found: str
    #: Where it was read: a path below the root, a file, a URL.
    source: str
    #: Why it matters for passthrough; may be empty if the severity is OK.
    why: str = ""
    #: How to fix it: a script to paste, or prose; see ``shell_fix``. May be empty if it is OK.
    fix: str = ""
    remedy: Remedy = Remedy.NONE


def failures_of(findings: Iterable[Finding], address: str) -> tuple[Finding, ...]:
    """Return the failures of a GPU and of the host, without the verdict itself."""
    return tuple(
        finding
        for finding in findings
        if finding.severity is Severity.FAILURE
        and finding.subject in (HOST, address)
        and finding.id != VERDICT
    )
