# SPDX-License-Identifier: Apache-2.0
"""Pagination and parallel requests."""

import threading

import pytest

from nova_gpu_passthrough.cloud.view.reader import CloudReader


@pytest.fixture
def reader(cloud):
    return CloudReader(cloud.connection())


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
def test_all_pages_are_read(cloud, reader, page):
    cloud.nova.page = page
    names = [f"f{number}" for number in range(3)]
    for name in names:
        cloud.nova.add_flavor(name)
    found = reader.pages("/flavors/detail", "flavors", is_public="None")
    assert [flavor["name"] for flavor in found] == names


def test_an_empty_collection_has_no_members(reader):
    assert list(reader.pages("/servers/detail", "servers")) == []


def test_microversions_are_requested(cloud, reader):
    cloud.nova_maximum = "2.90"
    with pytest.raises(Exception, match=r"2\.98 is not supported"):
        reader.nova("/os-services")


def test_results_are_in_the_order_of_the_items(reader):
    calls = []
    reader._progress = lambda *call: calls.append(call)
    assert reader.each("things", range(50), lambda number: number * 2) == [n * 2 for n in range(50)]
    assert calls[-1] == ("things", 50, 50)


def test_no_items_need_no_requests(reader):
    assert reader.each("things", [], pytest.fail) == []


def test_several_calls_run_at_once(reader):
    barrier = threading.Barrier(4, timeout=30)
    assert len(reader.each("things", range(4), lambda _: barrier.wait())) == 4


def test_the_first_failure_is_raised_at_once(reader):
    released = threading.Event()

    def read(number):
        if number == 0:
            raise ValueError("no")
        # A request that hangs must not delay the failure of another.
        released.wait(30)

    with pytest.raises(ValueError, match="no"):
        reader.each("things", range(100), read)
    released.set()
