# SPDX-License-Identifier: Apache-2.0
import pytest

from nova_gpu_passthrough.cloud.lint import checks
from tests.unit.cloud.lint.builders import COMPUTE, Site


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{", "not JSON"),
        ("5", "is not a dict"),
        ('{"vendor_id": "xyz"}', "vendor_id"),
        ('{"vendor_id": null}', "vendor_id"),
        ('{"product_id": "12345"}', "more than"),
        ('{"address": "0:0:0:0:0.0"}', "too many parts"),
        ('{"address": "0000:00:20.0"}', "slot"),
        ('{"address": {"bus": "["}}', "regular expression"),
        ('{"address": "00:01.0", "devname": "eth0"}', "both"),
        ('{"vendor_id": "10de", "managed": "perhaps"}', "neither yes nor no"),
    ],
)
def test_an_invalid_entry_is_reported_with_its_line(site, only_finding, value, words):
    site.add("hgx1", f"[pci]\ndevice_spec = {value}\n")
    finding = only_finding(site)
    assert (finding.id, finding.subject) == ("device_spec.invalid", "nova-compute@hgx1")
    assert words in finding.found
    assert finding.source.endswith("99-local.conf:2 [pci] device_spec")


def test_devname_with_pci_in_placement_is_reported(site, only_finding):
    site.add("hgx1", '[pci]\ndevice_spec = {"devname": "eth0"}\n')
    assert only_finding(site).id == "device_spec.devname"


def test_one_time_use_in_a_release_without_it_is_reported(tmp_path):
    site = Site(tmp_path, settings={"release": 31})
    site.replace("l40s1", COMPUTE, '"gpu_model"', '"one_time_use": "yes", "gpu_model"')
    (finding,) = [f for f in checks.findings(site.facts()) if f.id.endswith("_unknown")]
    assert finding.id == "device_spec.one_time_use_unknown"
    assert "Nova 31 (2025.1)" in finding.found


def test_an_invalid_fleet_entry_is_reported_once(site, only_finding):
    site.replace("hgx1", COMPUTE, 'device_spec = {"address"', 'device_spec = {address"')
    assert only_finding(site).id == "device_spec.invalid"


def test_one_time_use_without_pci_in_placement_is_reported(tmp_path, all_findings):
    site = Site(tmp_path, settings={"one_time_use": True})
    site.replace("hgx1", COMPUTE, "report_in_placement = true", "report_in_placement = false")
    ids = [
        identity for identity, subject, _ in all_findings(site) if subject == "nova-compute@hgx1"
    ]
    assert ids.count("device_spec.one_time_use_unreported") == 8
