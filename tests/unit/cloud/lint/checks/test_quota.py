# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from tests.unit.cloud.lint.builders import Site
from tests.unit.cloud.lint.clouds import clean

AMOUNTS = {"servers": 10, "vcpus": 100, "ram_mib": 100000, "disk_gib": 1000}
QUOTAS = {"default": {**AMOUNTS, "h100-sxm": 2}}
UNIFIED = "[quota]\ndriver = nova.quota.UnifiedLimitsDriver\n"
MAIN = "etc/nova/nova.conf"
LIST = "unified_limits_resource_list = class:PCPU\n"


@pytest.fixture(scope="module")
def _limited(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("limited"), quotas=QUOTAS)


@pytest.fixture
def limited(_limited, tmp_path):
    """A fleet with quotas."""
    site = _limited.copy(tmp_path)
    site.cloud = clean(site)
    return site


def without(site, resource):
    """Keystone has no registered limit of a resource."""
    limits = {k: v for k, v in site.cloud.registered_limits.items() if k != resource}
    site.cloud = dataclasses.replace(site.cloud, registered_limits=limits)


def test_quotas_that_are_in_keystone_are_fine(limited, found):
    assert found(limited) == []


@pytest.mark.parametrize("text", ["[quota]\ndriver = nova.quota.NoopQuotaDriver\n", ""])
def test_another_driver_than_the_fleet_files_is_found(limited, only, text):
    """Without the option, Nova's default is its own driver."""
    limited.add("control", f"[api_database]\nconnection = x\n{text}", MAIN)
    finding = only(limited)
    assert (finding.id, finding.subject) == ("quota.driver", "nova@control")
    assert "nova.quota.UnifiedLimitsDriver" in finding.found


def test_the_right_driver_is_no_finding(limited, found):
    limited.add("control", UNIFIED, MAIN)
    assert found(limited) == []


def test_fragments_without_the_option_say_nothing_of_the_driver(limited, found):
    assert not limited.path("control", MAIN).exists()
    assert found(limited) == []


def test_what_nova_itself_shows_of_its_driver_is_told(limited, only):
    limited.cloud = dataclasses.replace(limited.cloud, driver_note="Nova counts no quotas")
    finding = only(limited)
    assert (finding.id, finding.found) == ("quota.driver_at_work", "Nova counts no quotas")


@pytest.mark.parametrize("release", [31, 33])
def test_releases_that_do_not_count_gpus_are_told(tmp_path, only, release):
    site = Site(tmp_path, quotas=QUOTAS, settings={"release": release})
    finding = only(site)
    assert (finding.id, finding.severity) == ("quota.aliases_ignored", "warning")
    assert "class:CUSTOM_GPU_H100_SXM" in finding.found


def test_gpus_without_a_limit_are_unlimited_by_novas_default(limited, only):
    without(limited, "class:CUSTOM_GPU_H100_SXM")
    finding = only(limited)
    assert (finding.id, finding.severity) == ("quota.limit_missing", "warning")
    assert finding.subject == "class:CUSTOM_GPU_H100_SXM"
    assert "not limited" in finding.found


def test_servers_without_a_limit_are_refused_by_novas_default(limited, only):
    without(limited, "servers")
    finding = only(limited)
    assert (finding.id, finding.severity) == ("quota.limit_missing", "failure")


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("unified_limits_resource_list = servers,class:PCPU\n", "failure"),
        ("unified_limits_resource_strategy = ignore\n", "failure"),
        (f"{LIST}unified_limits_resource_strategy = ignore\n", None),
    ],
)
def test_the_strategy_says_what_a_missing_limit_means(limited, found, text, severity):
    """PCPU without a limit is nothing to tell of, unless somebody refuses it."""
    limited.add("control", f"{UNIFIED}{text}", MAIN)
    without(limited, "class:PCPU")
    wanted = [("quota.limit_missing", "class:PCPU", severity)] if severity else []
    assert found(limited) == wanted


def test_disk_that_flavors_take_counts_like_other_resources(limited, only):
    limited.add("control", f"{UNIFIED}unified_limits_resource_list = class:DISK_GB\n", MAIN)
    without(limited, "class:DISK_GB")
    finding = only(limited)
    assert (finding.id, finding.subject) == ("quota.limit_missing", "class:DISK_GB")
    assert finding.severity == "failure"


def test_a_limit_on_what_no_alias_has_is_found(limited, only):
    limits = {**limited.cloud.registered_limits, "class:CUSTOM_GPU_H100": 4}
    limited.cloud = dataclasses.replace(limited.cloud, registered_limits=limits)
    finding = only(limited)
    assert (finding.id, finding.subject) == ("quota.limit_unused", "class:CUSTOM_GPU_H100")


def test_limits_of_the_operators_own_aliases_are_left_alone(limited, found):
    limits = {**limited.cloud.registered_limits, "class:CUSTOM_PCI_8086_4940": 4}
    limited.cloud = dataclasses.replace(limited.cloud, registered_limits=limits)
    alias = '[pci]\nalias = {"name": "qat", "vendor_id": "8086", "product_id": "4940"}\n'
    for host in ("control", "hgx1", "l40s1"):
        limited.add(host, alias)
    assert found(limited) == []
