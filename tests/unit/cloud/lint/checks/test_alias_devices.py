# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.unit.cloud.lint.builders import SHARED


@pytest.mark.parametrize(
    ("said", "shown"), [("type-PCI", "device_type type-PCI"), (None, "no device_type")]
)
def test_a_wrong_device_type_is_reported(site, only_finding, said, shown):
    """Bug 1892361: GPUs become type-PF when SR-IOV is enabled."""
    key = '"device_type": "type-PF", '
    new = f'"device_type": "{said}", ' if said else ""
    site.replace("control", SHARED, key, new)
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("alias.device_type", "failure")
    assert finding.subject == "nova@control"
    assert (
        f"alias h100-sxm has {shown}, but 8 of 8 devices that it selects are type-PF"
        in finding.found
    )
    assert "SR-IOV" in finding.why


def test_an_alias_by_ids_is_checked(site, all_findings):
    for host in ("control", "hgx1", "l40s1"):
        site.add(host, '[pci]\nalias = {"name": "h", "vendor_id": "10DE", "product_id": "2330"}\n')
    assert all_findings(site) == [
        ("alias.device_type", subject, "failure")
        for subject in ("nova@control", "nova-compute@hgx1", "nova-compute@l40s1")
    ]


def test_traits_that_no_device_has_are_reported(site, all_findings):
    alias = (
        '{"name": "node7", "device_type": "type-PF", "resource_class": "CUSTOM_GPU_H100_SXM", '
        '"traits": "%s"}'
    )
    for host in ("control", "hgx1", "l40s1"):
        site.add(host, f"[pci]\nalias = {alias % 'CUSTOM_GPU_NUMA_7'}\n")
    assert {identity for identity, _, _ in all_findings(site)} == {"alias.traits"}
    for host in ("control", "hgx1", "l40s1"):
        site.add(host, f"[pci]\nalias = {alias % 'gpu_numa_1'}\n")
    assert all_findings(site) == []
