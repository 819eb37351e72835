# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from tests.unit.cloud.lint.builders import QUOTAS, Site

UNIFIED = "[quota]\ndriver = nova.quota.UnifiedLimitsDriver\n"
MAIN = "etc/nova/nova.conf"


def test_quotas_that_are_in_keystone_are_accepted(limited, all_findings):
    assert all_findings(limited) == []


@pytest.mark.parametrize("text", ["[quota]\ndriver = nova.quota.NoopQuotaDriver\n", ""])
def test_a_driver_that_differs_from_the_fleet_file_is_reported(limited, only_finding, text):
    """Without the option, Nova's default is its own driver."""
    limited.add("control", f"[api_database]\nconnection = x\n{text}", MAIN)
    finding = only_finding(limited)
    assert (finding.id, finding.subject) == ("quota.driver", "nova@control")
    assert "nova.quota.UnifiedLimitsDriver" in finding.found


def test_the_expected_driver_is_accepted(limited, all_findings):
    limited.add("control", UNIFIED, MAIN)
    assert all_findings(limited) == []


def test_fragments_without_the_option_do_not_imply_the_default_driver(limited, all_findings):
    assert not limited.path("control", MAIN).exists()
    assert all_findings(limited) == []


def test_a_driver_note_from_the_cloud_is_reported(limited, only_finding):
    limited.cloud = dataclasses.replace(limited.cloud, driver_note="Nova counts no quotas")
    finding = only_finding(limited)
    assert (finding.id, finding.found) == ("quota.driver_at_work", "Nova counts no quotas")


@pytest.mark.parametrize("release", [31, 33])
def test_releases_that_do_not_count_gpus_are_reported(tmp_path, only_finding, release):
    site = Site(tmp_path, quotas=QUOTAS, settings={"release": release})
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("quota.aliases_ignored", "warning")
    assert "class:CUSTOM_GPU_H100_SXM" in finding.found


def test_a_limit_on_a_class_that_no_alias_has_is_reported(limited, only_finding):
    limits = {**limited.cloud.registered_limits, "class:CUSTOM_GPU_H100": 4}
    limited.cloud = dataclasses.replace(limited.cloud, registered_limits=limits)
    finding = only_finding(limited)
    assert (finding.id, finding.subject) == ("quota.limit_unused", "class:CUSTOM_GPU_H100")


def test_limits_of_configured_aliases_are_accepted(limited, all_findings):
    limits = {**limited.cloud.registered_limits, "class:CUSTOM_PCI_8086_4940": 4}
    limited.cloud = dataclasses.replace(limited.cloud, registered_limits=limits)
    alias = '[pci]\nalias = {"name": "qat", "vendor_id": "8086", "product_id": "4940"}\n'
    for host in ("control", "hgx1", "l40s1"):
        limited.add(host, alias)
    assert all_findings(limited) == []
