# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from nova_gpu_passthrough.cloud.view.model import DeviceState, Resource
from tests.unit.cloud.lint.builders import Site
from tests.unit.cloud.lint.clouds import NOVA_TRAITS, clean_cloud, with_device, with_host
from tests.unit.generate.builders import with_vfs

GPU = "0000:20:00.0"


@pytest.mark.parametrize(
    ("changes", "identity", "severity", "words"),
    [
        ({"state": DeviceState.MISSING}, "device.missing", "failure", "no resource provider"),
        (
            {"lacking_traits": frozenset(("OWNER_NOVA",)), "state": DeviceState.MISSING},
            "device.nova_traits",
            "failure",
            "its resource provider lacks OWNER_NOVA",
        ),
        (
            {"lacking_traits": frozenset(("COMPUTE_MANAGED_PCI_DEVICE",)), "traits": frozenset()},
            "device.nova_traits",
            "warning",
            "its resource provider lacks COMPUTE_MANAGED_PCI_DEVICE",
        ),
        (
            {"resource_class": "CUSTOM_PCI_10DE_2330"},
            "device.resource_class",
            "failure",
            "the fleet file gives CUSTOM_GPU_H100_SXM",
        ),
        ({"traits": NOVA_TRAITS}, "device.traits", "warning", "lacks CUSTOM_GPU_"),
        ({"resource": Resource(1, allocation_ratio=2.0)}, "device.inventory", "failure", "ratio 2"),
        ({"resource": Resource(2)}, "device.inventory", "failure", "total 2, expected 1"),
    ],
)
def test_a_provider_that_differs_from_the_fleet_file_is_reported(
    site, only_finding, changes, identity, severity, words
):
    site.cloud = with_device(clean_cloud(site), "hgx1", GPU, **changes)
    finding = only_finding(site)
    assert (finding.id, finding.severity) == (identity, severity)
    assert finding.subject == f"hgx1 {GPU}"
    assert finding.source == f"Placement, provider hgx1_{GPU.upper()}"
    assert words in finding.found


def test_a_device_that_is_not_in_the_cloud_view_is_reported(site, only_finding):
    def drop(host):
        devices = tuple(device for device in host.devices if device.address != GPU)
        return dataclasses.replace(host, devices=devices)

    site.cloud = with_host(clean_cloud(site), "hgx1", drop)
    assert only_finding(site).id == "device.missing"


def test_a_superfluous_custom_trait_is_reported(site, only_finding):
    cloud = clean_cloud(site)
    traits = cloud.view.hosts[0].devices[0].traits | {"CUSTOM_GPU_NUMA_9"}
    site.cloud = with_device(cloud, "hgx1", GPU, traits=traits)
    assert "has superfluous CUSTOM_GPU_NUMA_9" in only_finding(site).found


def test_a_provider_of_a_gpu_that_the_host_does_not_have_is_reported(site, only_finding):
    def add(host):
        left = dataclasses.replace(host.devices[0], address="0000:99:00.0")
        return dataclasses.replace(host, devices=(*host.devices, left))

    site.cloud = with_host(clean_cloud(site), "hgx1", add)
    finding = only_finding(site)
    assert (finding.id, finding.subject) == ("device.left_over", "hgx1 0000:99:00.0")


def test_devices_outside_the_fleet_are_ignored(site, all_findings):
    def add(host):
        other = dataclasses.replace(
            host.devices[0],
            address="0000:99:00.0",
            model=None,
            resource_class="CUSTOM_PCI_8086_4940",
        )
        return dataclasses.replace(host, devices=(*host.devices, other))

    site.cloud = with_host(clean_cloud(site), "hgx1", add)
    assert all_findings(site) == []


def test_vfs_share_the_provider_of_their_pf(tmp_path, all_findings):
    site = Site(tmp_path, inventories=[with_vfs("vf1")])
    site.cloud = clean_cloud(site)
    assert all_findings(site) == []
    site.cloud = with_device(site.cloud, "vf1", "0000:51:00.0", resource=Resource(1))
    assert all_findings(site) == [("device.inventory", "vf1 0000:51:00.0", "failure")]


def test_a_device_without_the_one_time_use_trait_is_reported(tmp_path, all_findings):
    site = Site(tmp_path, settings={"one_time_use": True})
    site.cloud = clean_cloud(site)
    assert all_findings(site) == []
    traits = site.cloud.view.hosts[0].devices[0].traits - {"HW_PCI_ONE_TIME_USE"}
    site.cloud = with_device(site.cloud, "hgx1", GPU, traits=traits)
    assert all_findings(site) == [("device.one_time_use", f"hgx1 {GPU}", "failure")]
