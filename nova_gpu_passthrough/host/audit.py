# SPDX-License-Identifier: Apache-2.0
"""The audit of a host: read its facts, links and chassis, run the checks, give verdicts."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nova_gpu_passthrough.host import hwloc, saved_output, serial_numbers, sysfs
from nova_gpu_passthrough.host.checks import CHECKS
from nova_gpu_passthrough.host.links import link_groups, xgmi
from nova_gpu_passthrough.host.root import Root
from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.inventory.findings import (
    VERDICT,
    Finding,
    Remedy,
    Severity,
    Verdict,
    failures_of,
)
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import Gpu

_SEVERITIES = {
    Verdict.READY: Severity.OK,
    Verdict.CONFIGURE: Severity.FAILURE,
    Verdict.UNFIT: Severity.FAILURE,
}
#: Failures that an operator can fix without touching the hardware.
_FIXABLE = frozenset((Remedy.CONFIGURATION, Remedy.FIRMWARE))
#: Prefixes of findings that the facts in an inventory do not give again.
_KEPT_FINDINGS = ("fabric", "read", "redfish")


@dataclass(frozen=True)
class RedfishSource:
    """The management controller of a host, and how to connect to it; see `redfish.read`."""

    url: str
    verify: bool | str = True
    system: str | None = None


@dataclass(frozen=True)
class AuditSources:
    """Where the audit reads the facts of a host."""

    #: Directory with ``sys`` and ``proc``; used unless ``hwloc`` or ``inventory`` is set.
    root: Path = Path("/")
    #: An hwloc export in XML.
    hwloc: Path | None = None
    #: An inventory file.
    inventory: Path | None = None
    #: The host's name in Nova, if it is not the host name in these sources.
    host: str | None = None
    #: The operator's names of GPU models, by ``vendor:product``.
    model_names: Mapping[str, str] = field(default_factory=dict)
    #: Files with saved output about links between GPUs.
    link_outputs: Sequence[Path] = ()
    #: The operator's link groups, ``NAME=ADDRESS,ADDRESS,...``.
    link_groups: Sequence[str] = ()
    redfish: RedfishSource | None = None
    #: Key of the hashes that replace serial numbers; None: the numbers themselves.
    serial_key: bytes | None = None


def audit(sources: AuditSources) -> Inventory:
    """Read the facts of a host and judge them.

    :raises UserError: if a source cannot be read or does not fit the host
    """
    outputs = [saved_output.read_links(path) for path in sources.link_outputs]
    facts, hives, findings = _read_facts(sources)
    for output in outputs:
        facts = serial_numbers.complete(facts, output.serials)
    # The link groups in an inventory are kept unless there are new sources.
    if outputs or sources.link_groups or not sources.inventory:
        groups = link_groups.find(
            facts.devices,
            facts.gpus,
            outputs,
            hives,
            sources.link_groups,
            drivers_known=facts.reports_kernel,
        )
        facts = dataclasses.replace(facts, gpus=groups.applied_to(facts.gpus))
        findings = [finding for finding in findings if not finding.id.startswith("fabric.")]
        findings += groups.findings
    if sources.redfish:
        # Imported only for this option: it loads TLS and HTTP libraries.
        from nova_gpu_passthrough.host import redfish

        controller = sources.redfish
        readings = redfish.read(controller.url, verify=controller.verify, system=controller.system)
        machine = dataclasses.replace(
            facts.machine,
            serial=facts.machine.serial or readings.system_serial,
            chassis_serial=facts.machine.chassis_serial or readings.chassis_serial,
        )
        facts = dataclasses.replace(facts, chassis=readings.chassis, machine=machine)
        findings += readings.findings
    if sources.serial_key is not None:
        facts = serial_numbers.hashed(facts, sources.serial_key)
    return judge(facts, findings)


def _read_facts(sources: AuditSources) -> tuple[Inventory, Mapping[str, str], list[Finding]]:
    """Return the facts, the xGMI hives by GPU address, and the findings of reading the facts."""
    if sources.inventory:
        facts = store.load(sources.inventory)
        kept = [f for f in facts.findings if f.id.partition(".")[0] in _KEPT_FINDINGS]
        return dataclasses.replace(facts, host=sources.host or facts.host), {}, kept
    if sources.hwloc:
        facts = hwloc.read(sources.hwloc, sysfs.now(), sources.host, sources.model_names)
        return facts, {}, list(facts.findings)
    root = Root(sources.root)
    facts = sysfs.read(root, sources.host, sources.model_names)
    hives = xgmi.read_hives(root, [gpu.address for gpu in facts.gpus])
    return facts, hives, root.findings()


def judge(facts: Inventory, other_findings: Iterable[Finding] = ()) -> Inventory:
    """Return the inventory with findings and verdicts.

    :param other_findings: findings that no check gives: unreadable files, links, the chassis
    """
    findings = [finding for check in CHECKS for finding in check(facts)]
    findings += other_findings
    # A topology export, or a recording without IOMMU groups, has too few facts for a verdict.
    is_complete = facts.reports_kernel and facts.iommu.known
    by_address = dict(verdicts(facts.gpus, findings)) if is_complete else {}
    findings += [_verdict(address, verdict, findings) for address, verdict in by_address.items()]
    return dataclasses.replace(facts, findings=tuple(findings), verdicts=by_address or None)


def _verdict(address: str, verdict: Verdict, findings: Iterable[Finding]) -> Finding:
    """Return a verdict as a finding, so that every list of findings contains it."""
    reasons = sorted({finding.id for finding in failures_of(findings, address)})
    return Finding(
        VERDICT,
        _SEVERITIES[verdict],
        address,
        ": ".join([verdict, *filter(None, [", ".join(reasons)])]),
        "the findings about the host and this GPU",
    )


def verdicts(gpus: Iterable[Gpu], findings: Iterable[Finding]) -> Mapping[str, Verdict]:
    """Return the verdict of each GPU by its address.

    A GPU without failures is ready. It is unfit if neither configuration nor firmware can fix one
    of its failures. Failures of the host count for each of its GPUs.
    """
    all_findings = tuple(findings)
    result = {}
    for gpu in gpus:
        remedies = {finding.remedy for finding in failures_of(all_findings, gpu.address)}
        if not remedies:
            result[gpu.address] = Verdict.READY
        elif remedies <= _FIXABLE:
            result[gpu.address] = Verdict.CONFIGURE
        else:
            result[gpu.address] = Verdict.UNFIT
    return result
