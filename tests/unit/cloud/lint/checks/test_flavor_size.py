# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.unit.cloud.lint.clouds import clean, with_flavor

SPECS = {
    "hw__cpu_policy": "dedicated",
    "hw__numa_nodes": "1",
    "hw__pci_numa_affinity_policy": "required",
}


def test_more_devices_than_any_host_has_are_found(site, only):
    site.cloud = with_flavor(
        clean(site), "mine", pci_passthrough__alias="h100-sxm:9", hw__numa_nodes="1"
    )
    finding = only(site)
    assert finding.id == "flavor.too_many_devices"
    assert "the most that a host has is 8" in finding.found


@pytest.mark.parametrize(
    ("vcpus", "ram_mib", "alias"),
    [(64, 8192, "h100-sxm:1"), (4, 10**7, "h100-sxm:1"), (4, 8192, "h100-sxm:5")],
)
def test_what_no_empty_host_can_boot_is_found_with_the_reason(site, only, vcpus, ram_mib, alias):
    site.cloud = with_flavor(
        clean(site), "mine", vcpus, ram_mib, pci_passthrough__alias=alias, **SPECS
    )
    finding = only(site)
    assert (finding.id, finding.severity) == ("flavor.no_host", "failure")
    assert "hgx1" in finding.found
