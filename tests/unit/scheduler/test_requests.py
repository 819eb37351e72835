# SPDX-License-Identifier: Apache-2.0
"""What is read out of Nova's RequestSpec."""

import pytest

from nova_gpu_passthrough.scheduler import requests
from nova_gpu_passthrough.topology.model import Demand, GuestCell, NumaPolicy, Preference
from tests.unit import builders
from tests.unit.builders import AUDIO, H100, NIC, pci_request, request_spec


def read(*pci_requests, aliases=(), resource_classes=(), **kwargs):
    return requests.read(request_spec(*pci_requests, **kwargs), aliases, resource_classes)


def test_a_server_without_pci_devices_is_none_of_ours():
    assert read() is None


def test_a_request_without_pci_requests_is_none_of_ours():
    spec = request_spec()
    spec.pci_requests = None
    assert requests.read(spec, (), ()) is None


def test_neutron_ports_are_none_of_ours():
    assert read(pci_request(spec=NIC, requester_id="port")) is None
    request = read(pci_request(spec=NIC, requester_id="port"), pci_request())
    assert [alias.demand.alias for alias in request.aliases] == ["a-gpu"]


def test_an_alias_is_a_demand():
    asked = pci_request(3, numa_policy="socket")
    request = read(asked)
    assert request.aliases[0].demand == Demand(asked.request_id, "a-gpu", 3, NumaPolicy.SOCKET)


@pytest.mark.parametrize("policy", [p.value for p in NumaPolicy])
def test_novas_numa_policies_are_known(policy):
    assert read(pci_request(numa_policy=policy)).aliases[0].demand.numa_policy.value == policy


def test_legacy_is_the_numa_policy_where_none_is_named():
    assert read(pci_request()).aliases[0].demand.numa_policy is NumaPolicy.LEGACY


@pytest.mark.parametrize("spec", [H100, {"vendor_id": "10DE", "product_id": "26B9"}])
def test_the_catalogue_tells_gpus_by_vendor_and_product(spec):
    request = read(pci_request(spec=spec))
    assert request.aliases[0].is_gpu is True
    assert request.certainly_gpu


@pytest.mark.parametrize("spec", [NIC, AUDIO, {"vendor_id": "10de"}, {"product_id": "2330"}, {}])
def test_only_the_devices_can_tell_of_other_aliases(spec):
    request = read(pci_request(spec=spec))
    assert request.aliases[0].is_gpu is None
    assert not request.certainly_gpu


def test_the_operator_names_aliases_of_gpus():
    assert read(pci_request(spec=NIC, alias="odd"), aliases=["odd"]).certainly_gpu
    assert not read(pci_request(spec=NIC, alias="odd"), aliases=["other"]).certainly_gpu


@pytest.mark.parametrize("named", ["CUSTOM_GPU_X", "gpu_x", "custom_gpu_x"])
def test_the_operator_names_resource_classes_of_gpus(named):
    spec = {"resource_class": named}
    assert read(pci_request(spec=spec), resource_classes=["CUSTOM_GPU_X"]).certainly_gpu
    assert not read(pci_request(spec=spec), resource_classes=["CUSTOM_GPU_Y"]).certainly_gpu


def test_what_placement_matches_is_not_asked_of_the_pools():
    spec = {**H100, "dev_type": "type-PF", "resource_class": "PGPU", "traits": "A,B"}
    assert read(pci_request(spec=spec)).aliases[0].specs == ({**H100, "dev_type": "type-pf"},)


def test_placements_groups_are_those_of_the_alias_in_its_order():
    gpus, audios = pci_request(3), pci_request(2, AUDIO, "audio")
    request = read(gpus, audios, in_placement=True)
    assert request.groups == {
        gpus.request_id: tuple(f"{gpus.request_id}-{index}" for index in range(3)),
        audios.request_id: tuple(f"{audios.request_id}-{index}" for index in range(2)),
    }


def test_without_pci_in_placement_there_are_no_groups():
    assert read(pci_request()).groups == {}


def test_groups_of_ports_are_not_ours():
    spec = request_spec(pci_request(), in_placement=True)
    port = builders.objects.RequestGroup(requester_id="11111111-port", resources={})
    spec.requested_resources = [port, *spec.requested_resources]
    request = requests.read(spec, (), ())
    assert sum(request.groups.values(), ()) == (f"{request.aliases[0].demand.id}-0",)


def test_guest_cells_are_counted():
    numa = builders.guest_numa((2, 0, 512), (1, 3, 1024))
    assert read(pci_request(), numa=numa).guest_cells == (
        GuestCell(2, 0, 512),
        GuestCell(1, 3, 1024),
    )


def test_a_guest_without_numa_has_no_cells():
    assert read(pci_request()).guest_cells == ()


def test_extra_specs_become_wishes():
    request = read(
        pci_request(), extra_specs={"gpu:link": "required", "gpu:companions": "no", "hw:x": "y"}
    )
    assert request.error is None
    wishes = request.gpu_request([request.aliases[0].demand.id])
    assert wishes.link is Preference.REQUIRED
    assert wishes.companions is False


def test_a_bad_extra_spec_is_an_error_of_the_request():
    request = read(pci_request(), extra_specs={"gpu:link": "always"})
    assert "gpu:link is 'always'" in request.error


def test_aliases_are_told_apart_for_each_host():
    request = read(pci_request(), pci_request(1, AUDIO, "audio"))
    gpu_id, audio_id = (alias.demand.id for alias in request.aliases)
    wishes = request.gpu_request([gpu_id])
    assert [demand.id for demand in wishes.gpus] == [gpu_id]
    assert [demand.id for demand in wishes.attached] == [audio_id]


def test_a_request_is_told_in_few_words():
    request = read(
        pci_request(2), pci_request(1, AUDIO, "audio"), extra_specs={"gpu:link": "required"}
    )
    assert str(request) == "a-gpu:2, audio:1 link=required"
