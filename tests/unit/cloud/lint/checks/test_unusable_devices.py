# SPDX-License-Identifier: Apache-2.0
from nova_gpu_passthrough.cloud.view.model import DeviceState, Resource
from tests.unit.cloud.lint.builders import Site
from tests.unit.cloud.lint.clouds import clean_cloud, with_device

GPU = "0000:20:00.0"


def test_a_device_reserved_by_hand_is_reported(site, only_finding):
    resource = Resource(1, reserved=1)
    site.cloud = with_device(
        clean_cloud(site), "hgx1", GPU, state=DeviceState.RESERVED, resource=resource
    )
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("device.reserved", "warning")
    assert f"CUSTOM_GPU_H100_SXM:reserved=0 uuid-hgx1-{GPU}" in finding.fix


def test_a_one_time_use_device_that_was_not_cleaned_is_reported(tmp_path, only_finding):
    site = Site(tmp_path, settings={"one_time_use": True})
    site.cloud = with_device(clean_cloud(site), "hgx1", GPU, state=DeviceState.RESERVED)
    finding = only_finding(site)
    assert finding.id == "device.uncleaned"
    assert finding.fix.startswith("# When it has been cleaned:\nopenstack resource provider")


def test_a_stuck_device_is_reported_with_its_consumer(site, only_finding):
    site.cloud = with_device(
        clean_cloud(site), "hgx1", GPU, state=DeviceState.STUCK, consumers=("gone",)
    )
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("device.stuck", "failure")
    assert "gone" in finding.found
