# SPDX-License-Identifier: Apache-2.0
"""Whose limits they are."""

import pytest

from nova_gpu_passthrough.cloud.apply.api import Api
from nova_gpu_passthrough.cloud.apply.limits.unified import Place, place
from nova_gpu_passthrough.errors import UserError


@pytest.fixture
def found(cloud):
    return lambda **options: place(Api(cloud.connection(**options)))


def _services(cloud, *names):
    services = [{"id": f"id-{name}", "name": name, "type": "compute"} for name in names]
    cloud.fail("GET .*/services", 200, {"services": services})


def _endpoints(cloud, *regions):
    endpoints = [{"id": region, "region_id": region} for region in regions]
    cloud.fail("GET .*/endpoints", 200, {"endpoints": endpoints})


def test_they_are_of_nova_in_the_region_that_was_named(found):
    assert found() == Place("id-compute", "RegionOne")


def test_without_a_region_it_is_the_only_one_of_nova(cloud, found):
    _endpoints(cloud, "RegionTwo", "RegionTwo")
    assert found(region_name=None) == Place("id-compute", "RegionTwo")


@pytest.mark.parametrize(("regions", "words"), [(("A", "B"), "A, B"), ((), "none")])
def test_which_region_is_meant_must_be_clear(cloud, found, regions, words):
    _endpoints(cloud, *regions)
    with pytest.raises(UserError, match=f"Nova is in {words}: name one with --os-region-name"):
        found(region_name=None)


def test_of_several_services_it_is_the_one_called_nova(cloud, found):
    _services(cloud, "nova-old", "nova")
    assert found().service == "id-nova"


@pytest.mark.parametrize("names", [(), ("a", "b")])
def test_which_service_is_meant_must_be_clear(cloud, found, names):
    _services(cloud, *names)
    with pytest.raises(UserError, match=f"Keystone has {len(names)} services of type compute"):
        found()
