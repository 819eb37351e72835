# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.unit.cloud.lint.builders import SHARED, Site
from tests.unit.generate.builders import hgx

QAT = '[pci]\nalias = {"name": "qat", "vendor_id": "8086", "product_id": "4940"}\n'
API = "etc/kolla/nova-api/nova.conf"


@pytest.mark.parametrize("host", ["control", "hgx1"])
def test_a_missing_fleet_alias_is_reported(site, all_findings, host):
    text = site.path(host, SHARED).read_text()
    line = next(row for row in text.splitlines() if '"l40s"' in row)
    site.replace(host, SHARED, f"{line}\n", "")
    subject = "nova@control" if host == "control" else "nova-compute@hgx1"
    assert all_findings(site) == [("alias.missing", subject, "failure")]


def test_a_different_fleet_alias_is_reported_with_both_values(site, only_finding):
    site.replace("hgx1", SHARED, "CUSTOM_GPU_H100_SXM", "CUSTOM_GPU_H100")
    finding = only_finding(site)
    assert (finding.id, finding.subject) == ("alias.differs", "nova-compute@hgx1")
    assert "resource_class is CUSTOM_GPU_H100, expected CUSTOM_GPU_H100_SXM" in finding.found
    assert f"{SHARED}:" in finding.source


def test_a_different_numa_policy_is_reported(site, only_finding):
    site.replace("control", SHARED, '"numa_policy": "legacy"', '"numa_policy": "required"')
    assert "numa_policy is required, expected legacy" in only_finding(site).found


def test_equivalent_values_are_accepted(site, all_findings):
    site.replace("hgx1", SHARED, "CUSTOM_GPU_H100_SXM", "gpu_h100_sxm")
    site.replace("hgx1", SHARED, ', "numa_policy": "legacy"', "")
    assert all_findings(site) == []


def test_an_alias_outside_the_fleet_must_exist_on_all_services(site, only_finding):
    site.add("control", QAT)
    site.add("hgx1", QAT)
    finding = only_finding(site)
    assert (finding.id, finding.subject) == ("alias.disagrees", "nova-compute@l40s1")
    assert "alias qat is missing, but defined on nova@control" in finding.found


def test_an_alias_outside_the_fleet_must_be_the_same_on_all_services(site, only_finding):
    for host in ("control", "hgx1"):
        site.add(host, QAT)
    site.add("l40s1", QAT.replace("4940", "4941"))
    finding = only_finding(site)
    assert (finding.id, finding.subject) == ("alias.disagrees", "nova-compute@l40s1")
    assert "alias qat is not that of nova@control" in finding.found


def test_an_alias_that_is_the_same_on_all_services_is_accepted(site, all_findings):
    for host in ("control", "hgx1", "l40s1"):
        site.add(host, QAT)
    assert all_findings(site) == []


def test_services_of_one_host_are_distinguished(site, all_findings):
    text = site.path("control", SHARED).read_text()
    site.add(
        "other", "[api_database]\nconnection = x\n" + text.replace("l40s-audio", "l40s-snd"), API
    )
    assert ("alias.missing", "nova-api@other", "failure") in all_findings(site)


@pytest.fixture
def many(tmp_path):
    """A fleet of twenty hosts with clean configuration."""
    hosts = [hgx(f"gpu{number:02}") for number in range(1, 21)]
    return Site(tmp_path, inventories=hosts, groups=[{"name": "all", "inventories": ["gpu*.yaml"]}])


def test_a_misspelt_alias_of_one_host_is_one_finding(many, only_finding):
    many.replace("gpu07", SHARED, '"h100-sxm"', '"h100-smx"')
    finding = only_finding(many)
    assert (finding.id, finding.subject) == ("alias.missing", "nova-compute@gpu07")
    assert finding.found == (
        "alias h100-sxm of the fleet file is missing; there is h100-smx instead, which seems to be "
        "misspelt"
    )
    assert f"gpu07/{SHARED}:" in finding.source
    assert "scp -r gpu-config/gpu07/etc/nova root@gpu07:/etc/" in finding.fix


def test_an_alias_of_one_host_alone_is_one_finding(many, only_finding):
    many.add("gpu07", QAT)
    finding = only_finding(many)
    assert (finding.id, finding.subject) == ("alias.disagrees", "nova-compute@gpu07")
    assert "not on most other services, such as nova@control" in finding.found
    assert "/etc/nova/nova.conf.d/99-local.conf, remove alias qat; then:" in finding.fix


def test_an_alias_that_one_host_lacks_is_one_finding(many, only_finding):
    for host in ("control", *(f"gpu{number:02}" for number in range(1, 20))):
        many.add(host, QAT)
    finding = only_finding(many)
    assert finding.subject == "nova-compute@gpu20"
    assert f"set [pci] alias = {QAT.partition('alias = ')[2].strip()}; then:" in finding.fix


def test_the_most_frequent_form_of_an_alias_is_right_without_the_api(many, all_findings):
    for number in range(1, 21):
        many.add(f"gpu{number:02}", QAT.replace("4940", "4941") if number == 1 else QAT)
    subjects = [subject for _, subject, _ in all_findings(many)]
    assert subjects == ["nova@control", "nova-compute@gpu01"]
