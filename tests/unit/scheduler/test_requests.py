# SPDX-License-Identifier: Apache-2.0
"""Reading Nova's RequestSpec."""

import pytest

from nova_gpu_passthrough.scheduler import requests
from nova_gpu_passthrough.topology.model import GuestCell, NumaPolicy, PciRequest, Preference
from tests.unit import builders
from tests.unit.builders import AUDIO, H100, NIC, pci_request, request_spec


def read(*pci_requests, aliases=(), resource_classes=(), **kwargs):
    return requests.read(request_spec(*pci_requests, **kwargs), aliases, resource_classes)


def test_a_server_without_pci_devices_is_ignored():
    assert read() is None


def test_a_request_without_pci_requests_is_ignored():
    spec = request_spec()
    spec.pci_requests = None
    assert requests.read(spec, (), ()) is None


def test_neutron_ports_are_ignored():
    assert read(pci_request(spec=NIC, requester_id="port")) is None
    request = read(pci_request(spec=NIC, requester_id="port"), pci_request())
    assert [alias.pci_request.alias for alias in request.aliases] == ["a-gpu"]


def test_an_alias_is_a_pci_request():
    nova_request = pci_request(3, numa_policy="socket")
    request = read(nova_request)
    assert request.aliases[0].pci_request == PciRequest(
        nova_request.request_id, "a-gpu", 3, NumaPolicy.SOCKET
    )


@pytest.mark.parametrize("policy", [p.value for p in NumaPolicy])
def test_novas_numa_policies_are_known(policy):
    assert read(pci_request(numa_policy=policy)).aliases[0].pci_request.numa_policy.value == policy


def test_legacy_is_the_default_numa_policy():
    assert read(pci_request()).aliases[0].pci_request.numa_policy is NumaPolicy.LEGACY


@pytest.mark.parametrize("spec", [H100, {"vendor_id": "10DE", "product_id": "26B9"}])
def test_gpus_are_recognized_by_vendor_and_product(spec):
    request = read(pci_request(spec=spec))
    assert request.aliases[0].is_gpu is True
    assert request.certainly_gpu


@pytest.mark.parametrize("spec", [NIC, AUDIO, {"vendor_id": "10de"}, {"product_id": "2330"}, {}])
def test_other_aliases_are_not_known_to_request_gpus(spec):
    request = read(pci_request(spec=spec))
    assert request.aliases[0].is_gpu is None
    assert not request.certainly_gpu


def test_configured_aliases_request_gpus():
    assert read(pci_request(spec=NIC, alias="odd"), aliases=["odd"]).certainly_gpu
    assert not read(pci_request(spec=NIC, alias="odd"), aliases=["other"]).certainly_gpu


@pytest.mark.parametrize("named", ["CUSTOM_GPU_X", "gpu_x", "custom_gpu_x"])
def test_aliases_of_configured_resource_classes_request_gpus(named):
    spec = {"resource_class": named}
    assert read(pci_request(spec=spec), resource_classes=["CUSTOM_GPU_X"]).certainly_gpu
    assert not read(pci_request(spec=spec), resource_classes=["CUSTOM_GPU_Y"]).certainly_gpu


def test_keys_that_placement_matches_are_not_in_the_specs():
    spec = {**H100, "dev_type": "type-PF", "resource_class": "PGPU", "traits": "A,B"}
    assert read(pci_request(spec=spec)).aliases[0].specs == ({**H100, "dev_type": "type-pf"},)


def test_request_groups_are_read_by_alias_in_order():
    gpus, audios = pci_request(3), pci_request(2, AUDIO, "audio")
    request = read(gpus, audios, in_placement=True)
    assert request.groups == {
        gpus.request_id: tuple(f"{gpus.request_id}-{index}" for index in range(3)),
        audios.request_id: tuple(f"{audios.request_id}-{index}" for index in range(2)),
    }


def test_without_pci_in_placement_there_are_no_groups():
    assert read(pci_request()).groups == {}


def test_request_groups_of_ports_are_ignored():
    spec = request_spec(pci_request(), in_placement=True)
    port = builders.objects.RequestGroup(requester_id="11111111-port", resources={})
    spec.requested_resources = [port, *spec.requested_resources]
    request = requests.read(spec, (), ())
    assert sum(request.groups.values(), ()) == (f"{request.aliases[0].pci_request.id}-0",)


def test_guest_cells_are_read():
    numa = builders.guest_numa_topology((2, 0, 512), (1, 3, 1024))
    assert read(pci_request(), numa=numa).guest_cells == (
        GuestCell(2, 0, 512),
        GuestCell(1, 3, 1024),
    )


def test_a_guest_without_numa_topology_has_no_cells():
    assert read(pci_request()).guest_cells == ()


def test_extra_specs_are_in_the_gpu_request():
    request = read(
        pci_request(), extra_specs={"gpu:link": "required", "gpu:companions": "no", "hw:x": "y"}
    )
    assert request.error is None
    gpu_request = request.gpu_request([request.aliases[0].pci_request.id])
    assert gpu_request.link is Preference.REQUIRED
    assert gpu_request.companions is False


def test_an_invalid_extra_spec_is_an_error_of_the_request():
    request = read(pci_request(), extra_specs={"gpu:link": "always"})
    assert "gpu:link is 'always'" in request.error


def test_a_gpu_request_separates_gpus_from_other_devices():
    request = read(pci_request(), pci_request(1, AUDIO, "audio"))
    gpu_id, audio_id = (alias.pci_request.id for alias in request.aliases)
    gpu_request = request.gpu_request([gpu_id])
    assert [one.id for one in gpu_request.gpus] == [gpu_id]
    assert [one.id for one in gpu_request.attached] == [audio_id]


def test_a_request_is_a_short_text():
    request = read(
        pci_request(2), pci_request(1, AUDIO, "audio"), extra_specs={"gpu:link": "required"}
    )
    assert str(request) == "a-gpu:2, audio:1 link=required"
