# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.unit.cloud.lint.builders import SHARED

QAT = '[pci]\nalias = {"name": "qat", "vendor_id": "8086", "product_id": "4940"}\n'
API = "etc/kolla/nova-api/nova.conf"


@pytest.mark.parametrize("host", ["control", "hgx1"])
def test_an_alias_of_the_fleet_that_is_missing_is_found(site, found, host):
    text = site.path(host, SHARED).read_text()
    line = next(row for row in text.splitlines() if '"l40s"' in row)
    site.replace(host, SHARED, f"{line}\n", "")
    subject = "nova@control" if host == "control" else "nova-compute@hgx1"
    assert found(site) == [("alias.missing", subject, "failure")]


def test_an_alias_that_differs_from_the_fleets_is_found_with_both_values(site, only):
    site.replace("hgx1", SHARED, "CUSTOM_GPU_H100_SXM", "CUSTOM_GPU_H100")
    finding = only(site)
    assert (finding.id, finding.subject) == ("alias.differs", "nova-compute@hgx1")
    assert "resource_class is CUSTOM_GPU_H100, expected CUSTOM_GPU_H100_SXM" in finding.found
    assert f"{SHARED}:" in finding.source


def test_another_numa_policy_is_found(site, only):
    site.replace("control", SHARED, '"numa_policy": "legacy"', '"numa_policy": "required"')
    assert "numa_policy is required, expected legacy" in only(site).found


def test_what_means_the_same_is_no_difference(site, found):
    site.replace("hgx1", SHARED, "CUSTOM_GPU_H100_SXM", "gpu_h100_sxm")
    site.replace("hgx1", SHARED, ', "numa_policy": "legacy"', "")
    assert found(site) == []


def test_an_alias_that_the_fleet_does_not_make_must_be_the_same_everywhere(site, only):
    site.add("control", QAT)
    site.add("hgx1", QAT)
    finding = only(site)
    assert (finding.id, finding.subject) == ("alias.disagrees", "nova-compute@l40s1")
    assert "alias qat is not there, but on nova@control" in finding.found


def test_an_alias_with_another_meaning_elsewhere_is_found(site, only):
    for host in ("control", "hgx1"):
        site.add(host, QAT)
    site.add("l40s1", QAT.replace("4940", "4941"))
    finding = only(site)
    assert (finding.id, finding.subject) == ("alias.disagrees", "nova-compute@l40s1")
    assert "another than on nova@control" in finding.found


def test_the_same_alias_everywhere_is_the_operators_own_affair(site, found):
    for host in ("control", "hgx1", "l40s1"):
        site.add(host, QAT)
    assert found(site) == []


def test_services_of_one_host_are_told_apart(site, found):
    text = site.path("control", SHARED).read_text()
    site.add(
        "other", "[api_database]\nconnection = x\n" + text.replace("l40s-audio", "l40s-snd"), API
    )
    assert ("alias.missing", "nova-api@other", "failure") in found(site)
