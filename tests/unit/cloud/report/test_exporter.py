# SPDX-License-Identifier: Apache-2.0
"""Metrics while the cloud can and cannot be read."""

import pytest
from prometheus_client import CollectorRegistry

from nova_gpu_passthrough.cloud.report.exporter import Exporter
from nova_gpu_passthrough.errors import UserError
from tests.unit.cloud.report import fleets


@pytest.fixture
def cloud():
    """Snapshots, or exceptions to raise, in order."""
    return []


@pytest.fixture
def exporter(cloud):
    def take():
        found = cloud.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return Exporter(take)


@pytest.fixture
def registry(exporter):
    found = CollectorRegistry()
    found.register(exporter)
    return found


def test_before_the_first_reading_there_are_no_metrics_of_the_cloud(registry):
    assert registry.get_sample_value("nova_gpu_read_success") == 0
    assert {family.name for family in registry.collect()} == {
        "nova_gpu_read_success",
        "nova_gpu_read_duration_seconds",
        "nova_gpu_reads",
        "nova_gpu_build_info",
    }


def test_a_successful_reading(cloud, exporter, registry):
    cloud.append(fleets.one())
    exporter.refresh()
    value = registry.get_sample_value
    assert value("nova_gpu_host_up", {"host": "gpu01"}) == 1
    assert value("nova_gpu_read_success") == 1
    assert value("nova_gpu_reads_total", {"result": "success"}) == 1
    assert value("nova_gpu_reads_total", {"result": "failure"}) == 0


def test_a_failed_reading_keeps_the_previous_metrics(cloud, exporter, registry):
    cloud += [fleets.one(), UserError("down"), fleets.four()]
    exporter.refresh()
    read_at = registry.get_sample_value("nova_gpu_read_timestamp_seconds")
    with pytest.raises(UserError):
        exporter.refresh()
    value = registry.get_sample_value
    assert value("nova_gpu_host_up", {"host": "gpu01"}) == 1
    assert value("nova_gpu_read_success") == 0
    assert value("nova_gpu_read_timestamp_seconds") == read_at
    assert value("nova_gpu_reads_total", {"result": "failure"}) == 1
    exporter.refresh()
    assert value("nova_gpu_read_success") == 1
    assert value("nova_gpu_host_up", {"host": "gpu02"}) == 1


def test_a_scrape_during_a_reading_gets_the_previous_metrics():
    registry, values = CollectorRegistry(), []

    def take():
        values.append(registry.get_sample_value("nova_gpu_notes"))
        return fleets.four()

    exporter = Exporter(take)
    registry.register(exporter)
    exporter.refresh()
    exporter.refresh()
    assert values == [None, 2]


def test_neither_registering_nor_scraping_reads_the_cloud(cloud, registry):
    cloud.append(fleets.one())
    list(registry.collect())
    assert len(cloud) == 1
