# SPDX-License-Identifier: Apache-2.0
"""Pages, parallel requests, and how they end."""

import threading

import pytest

from nova_gpu_passthrough.cloud.view.api import Api


@pytest.fixture
def api(cloud):
    return Api(cloud.connection())


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
def test_all_pages_are_read(cloud, api, page):
    cloud.nova.page = page
    names = [f"f{number}" for number in range(3)]
    for name in names:
        cloud.nova.add_flavor(name)
    found = api.pages("/flavors/detail", "flavors", is_public="None")
    assert [flavor["name"] for flavor in found] == names


def test_no_member_is_no_page(api):
    assert list(api.pages("/servers/detail", "servers")) == []


def test_versions_are_asked_for(cloud, api):
    cloud.nova_maximum = "2.90"
    with pytest.raises(Exception, match=r"2\.98 is not supported"):
        api.nova("/os-services")


def test_results_come_in_order(api):
    told = []
    api._tell = lambda *what: told.append(what)
    assert api.each("things", range(50), lambda number: number * 2) == [n * 2 for n in range(50)]
    assert told[-1] == ("things", 50, 50)


def test_nothing_is_asked_for_nothing(api):
    assert api.each("things", [], pytest.fail) == []


def test_several_run_at_once(api):
    barrier = threading.Barrier(4, timeout=30)
    assert len(api.each("things", range(4), lambda _: barrier.wait())) == 4


def test_the_first_failure_ends_it(api):
    released = threading.Event()

    def read(number):
        if number == 0:
            raise ValueError("no")
        # A request that hangs must not keep the others' failure from being told.
        released.wait(30)

    with pytest.raises(ValueError, match="no"):
        api.each("things", range(100), read)
    released.set()
