# SPDX-License-Identifier: Apache-2.0
from tests.unit.cloud.lint.builders import COMPUTE, Site
from tests.unit.generate.builders import with_vfs


def line_of(site, host, address):
    text = site.path(host, COMPUTE).read_text()
    return next(f"{row}\n" for row in text.splitlines() if f'"address": "{address}"' in row)


def test_a_gpu_that_no_entry_matches_is_reported(site, only_finding):
    site.replace("hgx1", COMPUTE, line_of(site, "hgx1", "0000:23:00.0"), "")
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("device_spec.missing", "failure")
    assert "0000:23:00.0 (H100-SXM, gpu)" in finding.found


def test_an_entry_without_a_device_is_reported(site, only_finding):
    site.add("l40s1", '[pci]\ndevice_spec = {"address": "0000:99:00.0", "vendor_id": "10de"}\n')
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("device_spec.no_device", "warning")
    assert "0000:99:00.0 10de:*" in finding.found


def test_an_entry_that_matches_devices_of_the_host_is_reported(site, all_findings):
    site.add("hgx1", '[pci]\ndevice_spec = {"vendor_id": "10de"}\n')
    assert all_findings(site) == [("device_spec.too_wide", "nova-compute@hgx1", "warning")]


def test_an_entry_that_matches_an_excluded_card_is_reported(tmp_path, all_findings):
    site = Site(tmp_path, settings={"exclude": ["hgx1/0000:20:00.0"]})
    site.add("hgx1", '[pci]\ndevice_spec = {"address": "0000:20:00.0"}\n')
    assert all_findings(site) == [("device_spec.too_wide", "nova-compute@hgx1", "warning")]


def test_an_entry_for_a_pf_and_its_vfs_is_reported(tmp_path, all_findings):
    site = Site(tmp_path, inventories=[with_vfs("vf1")])
    site.add("vf1", '[pci]\ndevice_spec = {"vendor_id": "1002"}\n')
    assert all_findings(site) == [("device_spec.pf_and_vfs", "nova-compute@vf1", "failure")]


def test_the_address_of_a_pf_matches_its_vfs(tmp_path, all_findings):
    """One entry with the PF's address and the VFs' product id may replace the generated ones."""
    site = Site(tmp_path, inventories=[with_vfs("vf1")])
    path = site.path("vf1", COMPUTE)
    rows = [r for r in path.read_text().splitlines() if not r.startswith("device_spec")]
    entry = '{"address": "0000:51:00.0", "product_id": "74b5"}'
    path.write_text("\n".join(rows) + f"\ndevice_spec = {entry}\n")
    ids = {identity for identity, _, _ in all_findings(site)}
    assert ids == {
        "device_spec.resource_class",
        "device_spec.tags",
        "device_spec.managed",
        "device_spec.traits",
    }
