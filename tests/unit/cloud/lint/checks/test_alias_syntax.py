# SPDX-License-Identifier: Apache-2.0
"""Tests of alias syntax; ``test_agreement_with_nova`` compares with Nova itself."""

import pytest

from tests.unit.cloud.lint.builders import SHARED

GOOD = '{"name": "h100-sxm", "device_type": "type-PF", "resource_class": "CUSTOM_GPU_H100_SXM"'


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{'name': 'x'}", "not JSON"),
        ("[]", "is not of type 'object'"),
        ("{}", "'name' is a required property"),
        ('{"name": "x", "gpu_model": "H100"}', "gpu_model"),
        ('{"name": "x", "vendor_id": "10d"}', "key vendor_id"),
        ('{"name": "x", "device_type": "type-pf"}', "key device_type"),
        ('{"name": "x", "numa_policy": "strict"}', "key numa_policy"),
        ('{"name": "x", "live_migratable": "perhaps"}', "live_migratable"),
    ],
)
def test_an_invalid_alias_is_reported_with_its_line(site, only_finding, value, words):
    site.add("hgx1", f"[pci]\nalias = {value}\n")
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("alias.invalid", "failure")
    assert finding.subject == "nova-compute@hgx1"
    assert words in finding.found
    assert finding.source.endswith("99-local.conf:2 [pci] alias")


@pytest.mark.parametrize(
    ("rest", "identity"),
    [
        (', "numa_policy": "legacy"}', "alias.repeated"),
        (', "numa_policy": "required"}', "alias.policy_mismatch"),
    ],
)
def test_a_repeated_name_is_reported(site, all_findings, rest, identity):
    site.add("control", f"[pci]\nalias = {GOOD}{rest}\n")
    assert (identity, "nova@control", "failure") in all_findings(site)


@pytest.mark.parametrize("kind", ['"device_type": "type-PCI",', ""])
def test_a_repeated_name_with_another_device_type_is_reported(site, all_findings, kind):
    site.add(
        "control",
        f'[pci]\nalias = {{"name": "h100-sxm", {kind} "resource_class": "CUSTOM_GPU_H100_SXM"}}\n',
    )
    assert ("alias.type_mismatch", "nova@control", "failure") in all_findings(site)


def test_an_alias_by_resource_class_requires_pci_in_placement(site, all_findings):
    site.replace("control", SHARED, "pci_in_placement = true", "pci_in_placement = false")
    ids = [identity for identity, subject, _ in all_findings(site) if subject == "nova@control"]
    assert ids.count("alias.no_ids") == len(site.resolved.aliases)


def test_an_alias_without_ids_and_resource_class_is_reported(site, all_findings):
    for host in ("control", "hgx1", "l40s1"):
        site.add(host, '[pci]\nalias = {"name": "any"}\n')
    ids = {identity for identity, _, _ in all_findings(site)}
    assert ids == {"alias.no_ids"}


def test_an_invalid_fleet_alias_is_reported_once(site, only_finding):
    site.replace("control", SHARED, '"legacy"}', '"legacy",}')
    assert only_finding(site).id == "alias.invalid"
