# SPDX-License-Identifier: Apache-2.0
"""The fabric manager's list of partitions."""

import pytest
from hypothesis import given

from nova_gpu_passthrough.host.links import fabric_manager
from tests.unit import strategies


def document(*partitions, bus="00000000:{:02X}:00.0"):
    """``fmpm -l`` of partitions, each with its physical ids."""
    return {
        "version": 1,
        "numPartitions": len(partitions),
        "partitionInfo": [
            {
                "partitionId": number,
                "isActive": 0,
                "numGpus": len(ids),
                "gpuInfo": [
                    {"physicalId": i, "uuid": "GPU-1", "pciBusId": bus.format(16 * i)} for i in ids
                ],
            }
            for number, ids in enumerate(partitions)
        ],
    }


def test_partitions_and_addresses_are_read():
    found = fabric_manager.from_json(document([1, 2, 3, 4], [1, 3], [2, 4], [1]), "fm.json")
    assert found.partitions == ({1, 2, 3, 4}, {1, 3}, {2, 4}, {1})
    assert found.modules == {f"0000:{16 * i:02x}:00.0": i for i in (1, 2, 3, 4)}
    assert found.indexes == set()


@pytest.mark.parametrize("bus", ["", "N/A"])
def test_partitions_without_addresses_are_read(bus):
    found = fabric_manager.from_json(document([1, 2], bus=bus), "fm.json")
    assert (found.partitions, found.modules) == (({1, 2},), {})


@pytest.mark.parametrize("other", [None, [], {}, "x", {"partitionInfo": [{}]}])
def test_other_json_is_none_of_it(other):
    assert fabric_manager.from_json(other, "fm.json") is None


@given(strategies.json_values)
def test_any_json_is_read_or_refused(value):
    fabric_manager.from_json(value, "fm.json")
    fabric_manager.from_json({"partitionInfo": value}, "fm.json")
    fabric_manager.from_json({"partitionInfo": [{"gpuInfo": value}]}, "fm.json")
    fabric_manager.from_json({"partitionInfo": [{"gpuInfo": [{"physicalId": value}]}]}, "fm.json")
