# SPDX-License-Identifier: Apache-2.0
"""What is asked about, found in a stand-in of a cloud."""

import pytest

from nova_gpu_passthrough.cloud.fit.explain import subject
from nova_gpu_passthrough.cloud.view import read
from nova_gpu_passthrough.cloud.view.api import Api
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.demand import Size

FAULT = {"code": 500, "created": "2026-01-01T00:00:00Z", "message": "No valid host was found. "}


@pytest.fixture
def find(cloud):
    def run(word, kind=None):
        connection = cloud.connection()
        return subject.find(Api(connection), read.read(connection), word, kind)

    return run


def test_a_flavor_by_name_or_id(cloud, find):
    flavor = cloud.nova.add_flavor("gpu.1", 4, 4096, 10, hw__cpu_policy="dedicated")
    for word in ("gpu.1", flavor["id"]):
        found = find(word)
        assert (found.flavor, found.size, found.server) == ("gpu.1", Size(4, 4096, 10), None)
        assert found.extra_specs == {"hw:cpu_policy": "dedicated"}


def test_a_server_by_name_or_id_with_its_fault(cloud, find):
    flavor = cloud.nova.add_flavor("gpu.1", 4, 4096, 10)
    server = cloud.nova.add_server("train", None, flavor, status="ERROR", fault=FAULT)
    for word in ("train", server["id"]):
        found = find(word)
        assert (found.flavor, found.size) == ("gpu.1", Size(4, 4096, 10))
        assert (found.server.id, found.server.status) == (server["id"], "ERROR")
        assert found.server.host is None
        assert (found.server.fault, found.server.since) == (
            "No valid host was found",
            "2026-01-01T00:00:00Z",
        )


def test_a_server_is_what_its_flavor_was_when_it_was_made(cloud, find):
    flavor = cloud.nova.add_flavor("gpu.1", 4, hw__cpu_policy="dedicated")
    cloud.nova.add_server("train", "hgx1", flavor)
    flavor["extra_specs"].clear()
    assert find("train").extra_specs == {"hw:cpu_policy": "dedicated"}


def test_a_volume_takes_no_disk_of_the_host(cloud, find):
    flavor = cloud.nova.add_flavor("gpu.1", 4, 4096, 10)
    cloud.nova.add_server("train", None, flavor, image="")
    found = find("train")
    assert found.size.disk_gib == 0
    assert "a volume" in found.notes[0]


def test_properties_of_the_image_count_where_the_flavor_says_nothing(cloud, find):
    flavor = cloud.nova.add_flavor("gpu.1", 4, hw__numa_nodes="2")
    properties = {
        "hw_numa_nodes": "1",
        "hw_pci_numa_affinity_policy": "required",
        "trait:CUSTOM_X": "required",
        "hw_mem_page_size": "large",
        "hw_video_model": "none",
    }
    image = {"id": "id", "properties": properties}
    cloud.nova.add_server("train", None, flavor, image=image)
    found = find("train")
    assert found.extra_specs == {
        "hw:numa_nodes": "2",
        "hw:pci_numa_affinity_policy": "required",
        "trait:CUSTOM_X": "required",
    }
    assert found.notes == ("image property hw_mem_page_size is not looked at",)


def test_a_name_that_means_two_things(cloud, find):
    flavor = cloud.nova.add_flavor("train")
    cloud.nova.add_server("train", None, flavor)
    with pytest.raises(UserError, match="both a flavor and a server: say --flavor or --server"):
        find("train")
    assert find("train", "flavor").server is None
    assert find("train", "server").server.name == "train"


def test_two_servers_of_one_name(cloud, find):
    flavor = cloud.nova.add_flavor("gpu.1")
    ids = [cloud.nova.add_server("train", None, flavor)["id"] for _ in range(2)]
    with pytest.raises(UserError, match=f"2 servers are called train.*{ids[0]}.*{ids[1]}"):
        find("train")


def test_names_are_no_patterns(cloud, find):
    flavor = cloud.nova.add_flavor("gpu.1")
    cloud.nova.add_server("train-1", None, flavor, status="ERROR")
    with pytest.raises(UserError, match="no server or flavor train-[.]; near: train-1"):
        find("train-.")


@pytest.mark.parametrize(
    ("word", "kind", "words"),
    [
        ("gpu1", None, "no server or flavor gpu1; near: gpu.1"),
        ("trains", "server", "no server trains; near: train"),
        ("trains", "flavor", "no flavor trains"),
        ("00000000-0000-0000-0000-000000000000", None, "no server or flavor 00000000-"),
    ],
)
def test_an_unknown_name_tells_near_ones(cloud, find, word, kind, words):
    flavor = cloud.nova.add_flavor("gpu.1")
    cloud.nova.add_server("train", None, flavor, status="ERROR")
    with pytest.raises(UserError) as error:
        find(word, kind)
    assert str(error.value).startswith(words)
    assert kind != "flavor" or "near" not in str(error.value)
