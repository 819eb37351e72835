# SPDX-License-Identifier: Apache-2.0
"""Finding servers and flavors in a fake cloud."""

import pytest

from nova_gpu_passthrough.cloud.fit import subject
from nova_gpu_passthrough.cloud.view import read
from nova_gpu_passthrough.cloud.view.reader import CloudReader
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.demand import FlavorSize

FAULT = {"code": 500, "created": "2026-01-01T00:00:00Z", "message": "No valid host was found. "}


@pytest.fixture
def find(cloud):
    def run(word, kind=None):
        connection = cloud.connection()
        return subject.find(CloudReader(connection), read.read(connection), word, kind)

    return run


def test_a_flavor_by_name_or_id(cloud, find):
    flavor = cloud.nova.add_flavor("gpu.1", 4, 4096, 10, hw__cpu_policy="dedicated")
    for word in ("gpu.1", flavor["id"]):
        found = find(word)
        assert (found.flavor, found.size, found.server) == ("gpu.1", FlavorSize(4, 4096, 10), None)
        assert found.extra_specs == {"hw:cpu_policy": "dedicated"}


def test_a_server_by_name_or_id_with_its_fault(cloud, find):
    flavor = cloud.nova.add_flavor("gpu.1", 4, 4096, 10)
    server = cloud.nova.add_server("train", None, flavor, status="ERROR", fault=FAULT)
    for word in ("train", server["id"]):
        found = find(word)
        assert (found.flavor, found.size) == ("gpu.1", FlavorSize(4, 4096, 10))
        assert (found.server.id, found.server.status) == (server["id"], "ERROR")
        assert found.server.host is None
        assert (found.server.fault, found.server.since) == (
            "No valid host was found",
            "2026-01-01T00:00:00Z",
        )


def test_a_server_keeps_the_flavor_as_it_was_when_it_was_created(cloud, find):
    flavor = cloud.nova.add_flavor("gpu.1", 4, hw__cpu_policy="dedicated")
    cloud.nova.add_server("train", "hgx1", flavor)
    flavor["extra_specs"].clear()
    assert find("train").extra_specs == {"hw:cpu_policy": "dedicated"}


def test_a_volume_uses_no_disk_of_the_host(cloud, find):
    flavor = cloud.nova.add_flavor("gpu.1", 4, 4096, 10)
    cloud.nova.add_server("train", None, flavor, image="")
    found = find("train")
    assert found.size.disk_gib == 0
    assert "a volume" in found.notes[0]


def test_image_properties_apply_where_the_flavor_has_no_extra_spec(cloud, find):
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
    assert found.notes == ("image property hw_mem_page_size is ignored",)


def test_a_name_of_a_flavor_and_a_server(cloud, find):
    flavor = cloud.nova.add_flavor("train")
    cloud.nova.add_server("train", None, flavor)
    with pytest.raises(UserError, match="both a flavor and a server: add --flavor or --server"):
        find("train")
    assert find("train", "flavor").server is None
    assert find("train", "server").server.name == "train"


def test_two_servers_of_one_name(cloud, find):
    flavor = cloud.nova.add_flavor("gpu.1")
    ids = [cloud.nova.add_server("train", None, flavor)["id"] for _ in range(2)]
    with pytest.raises(UserError, match=f"2 servers are named train.*{ids[0]}.*{ids[1]}"):
        find("train")


def test_names_are_not_patterns(cloud, find):
    flavor = cloud.nova.add_flavor("gpu.1")
    cloud.nova.add_server("train-1", None, flavor, status="ERROR")
    with pytest.raises(UserError, match="no server or flavor train-[.]; did you mean train-1"):
        find("train-.")


@pytest.mark.parametrize(
    ("word", "kind", "words"),
    [
        ("gpu1", None, "no server or flavor gpu1; did you mean gpu.1?"),
        ("trains", "server", "no server trains; did you mean train?"),
        ("trains", "flavor", "no flavor trains"),
        ("00000000-0000-0000-0000-000000000000", None, "no server or flavor 00000000-"),
    ],
)
def test_the_error_on_an_unknown_name_has_similar_names(cloud, find, word, kind, words):
    flavor = cloud.nova.add_flavor("gpu.1")
    cloud.nova.add_server("train", None, flavor, status="ERROR")
    with pytest.raises(UserError) as error:
        find(word, kind)
    assert str(error.value).startswith(words)
    assert kind != "flavor" or "near" not in str(error.value)
