# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.unit.cloud.lint.builders import COMPUTE, Site


@pytest.mark.parametrize(
    ("old", "new", "identity", "severity", "words"),
    [
        ("CUSTOM_GPU_H100_SXM", "PGPU", "device_spec.resource_class", "failure", "is PGPU"),
        (
            "CUSTOM_GPU_NUMA_0",
            "CUSTOM_GPU_NUMA_1",
            "device_spec.traits",
            "warning",
            "lacks CUSTOM_GPU_NUMA_0, has superfluous CUSTOM_GPU_NUMA_1",
        ),
        (
            '"gpu_link_group": "nvs0/q0/p0"',
            '"gpu_link_group": "nvs1"',
            "device_spec.tags",
            "failure",
            "gpu_link_group is nvs1, expected nvs0/q0/p0",
        ),
        ('"gpu_card"', '"gpu_cards"', "device_spec.tags", "failure", "gpu_cards"),
        ('"managed": "no"', '"managed": "yes"', "device_spec.managed", "failure", "managed is yes"),
        (
            '"managed": "no"',
            '"managed": "no", "one_time_use": "true"',
            "device_spec.one_time_use",
            "failure",
            "one_time_use is yes",
        ),
    ],
)
def test_a_difference_from_the_fleet_file_is_reported(
    site, only_finding, old, new, identity, severity, words
):
    site.replace("hgx1", COMPUTE, old, new)
    finding = only_finding(site)
    assert (finding.id, finding.severity) == (identity, severity)
    assert finding.subject == "nova-compute@hgx1"
    assert words in finding.found
    assert f"{COMPUTE}:" in finding.source


def test_equivalent_values_are_accepted(site, all_findings):
    site.replace("hgx1", COMPUTE, "CUSTOM_GPU_NUMA_0", "gpu-numa-0")
    site.replace("hgx1", COMPUTE, '"managed": "no"', '"managed": "False"')
    site.replace("hgx1", COMPUTE, '"10de"', '"10DE"')
    assert all_findings(site) == []


def test_an_earlier_entry_that_matches_the_device_is_reported(site, only_finding):
    """Nova uses the first entry that matches, so the generated one is never used."""
    site.add(
        "l40s1",
        '[pci]\ndevice_spec = {"address": "0000:41:00.0"}\n',
        "etc/nova/nova.conf.d/10-old.conf",
    )
    finding = only_finding(site)
    assert finding.id == "device_spec.shadowed"
    assert "10-old.conf:2" in finding.source
    assert COMPUTE in finding.found


def test_a_later_entry_is_accepted(site, all_findings):
    site.add("l40s1", '[pci]\ndevice_spec = {"address": "0000:41:00.0"}\n')
    assert all_findings(site) == []


def test_missing_one_time_use_is_reported(tmp_path, only_finding):
    site = Site(tmp_path, settings={"one_time_use": True})
    site.replace("hgx1", COMPUTE, '"one_time_use": "true", ', "")
    assert only_finding(site).id == "device_spec.one_time_use"
