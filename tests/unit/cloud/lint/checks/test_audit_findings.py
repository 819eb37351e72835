# SPDX-License-Identifier: Apache-2.0
import dataclasses

from nova_gpu_passthrough.inventory.findings import HOST, Finding, Severity
from tests.unit.cloud.lint.builders import Site
from tests.unit.generate.builders import l40s


def with_findings(identity, severity, *subjects):
    """Return a host with findings of the audit."""
    findings = tuple(
        Finding(identity, severity, subject, "held by nouveau", "/sys", "why", "Fix it.")
        for subject in subjects
    )
    return dataclasses.replace(l40s("l40s1"), findings=findings)


def test_a_failure_of_the_audit_is_repeated_once_for_all_gpus(tmp_path, only_finding):
    inventory = with_findings("driver.taken", Severity.FAILURE, "0000:41:00.0", "0000:42:00.0")
    site = Site(tmp_path, inventories=[inventory])
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("inventory.told", "warning")
    assert finding.subject == "host l40s1"
    assert "driver.taken for 0000:41:00.0, 0000:42:00.0: held by nouveau" in finding.found
    assert finding.fix.splitlines()[0] == "# Fix it."
    assert "nova-gpu host audit --write l40s1.yaml" in finding.fix
    assert finding.fix.endswith(f"scp root@l40s1:l40s1.yaml {site.resolved.paths['l40s1']}")


def test_failures_of_the_host_and_power_warnings_are_repeated(tmp_path, only_finding):
    failed = with_findings("iommu.off", Severity.FAILURE, HOST)
    assert "iommu.off" in only_finding(Site(tmp_path / "a", inventories=[failed])).found
    warned = with_findings("power.d3cold_allowed", Severity.WARNING, "0000:41:00.0")
    assert "power.d3cold_allowed" in only_finding(Site(tmp_path / "b", inventories=[warned])).found


def test_other_findings_of_the_audit_are_not_repeated(tmp_path, all_findings):
    for number, inventory in enumerate(
        (
            with_findings("driver.taken", Severity.FAILURE, "0000:99:00.0"),
            with_findings("hugepages.none", Severity.WARNING, HOST),
            with_findings("verdict", Severity.FAILURE, "0000:41:00.0"),
        )
    ):
        assert all_findings(Site(tmp_path / str(number), inventories=[inventory])) == []
