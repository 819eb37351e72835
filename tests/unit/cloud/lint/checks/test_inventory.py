# SPDX-License-Identifier: Apache-2.0
import dataclasses

from nova_gpu_passthrough.inventory.findings import HOST, Finding, Severity
from tests.unit.cloud.lint.builders import Site
from tests.unit.generate.builders import l40s


def told(identity, severity, *subjects):
    """A host of whose GPUs the audit said something."""
    findings = tuple(
        Finding(identity, severity, subject, "held by nouveau", "/sys", "why", "fix it.")
        for subject in subjects
    )
    return dataclasses.replace(l40s("l40s1"), findings=findings)


def test_what_the_audit_said_of_gpus_for_servers_is_repeated_once(tmp_path, only):
    found = told("driver.taken", Severity.FAILURE, "0000:41:00.0", "0000:42:00.0")
    finding = only(Site(tmp_path, inventories=[found]))
    assert (finding.id, finding.severity) == ("inventory.told", "warning")
    assert finding.subject == "host l40s1"
    assert "driver.taken of 0000:41:00.0, 0000:42:00.0: held by nouveau" in finding.found
    assert "audit the host anew" in finding.fix


def test_failures_of_the_host_and_sleeping_gpus_are_told_too(tmp_path, only):
    assert (
        "iommu.off"
        in only(Site(tmp_path / "a", inventories=[told("iommu.off", Severity.FAILURE, HOST)])).found
    )
    warned = told("power.d3cold_allowed", Severity.WARNING, "0000:41:00.0")
    assert "power.d3cold_allowed" in only(Site(tmp_path / "b", inventories=[warned])).found


def test_other_devices_and_lesser_warnings_are_the_audits_affair(tmp_path, found):
    for number, said in enumerate(
        (
            told("driver.taken", Severity.FAILURE, "0000:99:00.0"),
            told("hugepages.none", Severity.WARNING, HOST),
            told("verdict", Severity.FAILURE, "0000:41:00.0"),
        )
    ):
        assert found(Site(tmp_path / str(number), inventories=[said])) == []
