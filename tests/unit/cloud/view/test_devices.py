# SPDX-License-Identifier: Apache-2.0
"""Names, models and states of devices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.cloud.view import devices
from nova_gpu_passthrough.cloud.view.devices import DeviceConsumer
from nova_gpu_passthrough.cloud.view.model import DeviceState, Resource
from nova_gpu_passthrough.cloud.view.providers import ResourceProvider
from nova_gpu_passthrough.fleet import device_names

_HEX = "0123456789ABCDEF"
_ONE = Resource(1)
_CONSUMER, _WRONG = DeviceConsumer("s"), DeviceConsumer("t", "why")


def provider(resource=_ONE, resource_class="CUSTOM_GPU_X", traits=()):
    return ResourceProvider("u", "h_0000:1B:00.0", frozenset(traits), {resource_class: resource})


def device(*consumers, known=(), **changes):
    return devices.device("h", provider(**changes), (), consumers, known)


@given(
    st.text("abc123._-", min_size=1),
    st.tuples(*(st.text(_HEX, min_size=n, max_size=n) for n in (4, 2, 2)), st.integers(0, 7)),
)
def test_names_of_providers_contain_node_and_address(node, parts):
    domain, bus, slot, function = parts
    for name in (
        f"{node}_{domain}:{bus}:{slot}.{function}",
        f"{node}_pci_{domain}_{bus}_{slot}_{function}".lower(),
    ):
        assert devices.node_name(name) == node.lower()
        assert devices.pci_address(name) == f"{domain}:{bus}:{slot}.{function}".lower()


@pytest.mark.parametrize("name", ["gpu1", "gpu1_eth0", "_0000:01:00", "0000:01:00.0"])
def test_other_names_contain_neither(name):
    assert devices.node_name(name) is None
    assert devices.pci_address(name) is None


@pytest.mark.parametrize("name", models.names())
def test_every_model_of_the_catalogue_is_identified_by_its_trait(name):
    assert device(traits=[device_names.model_trait(name)]).model == name


def test_a_model_of_the_fleet_is_identified_by_its_trait():
    traits = [device_names.model_trait("my-Card 2")]
    assert device(traits=traits, known=["my-Card 2"]).model == "my-Card 2"
    assert device(traits=traits).model == "MY_CARD_2"


@pytest.mark.parametrize("suffix", ["AUDIO", "USB", "UCSI", "AUDIO_TYPE_PF"])
def test_companions_have_the_trait_of_the_model_and_are_not_gpus(suffix):
    traits = [device_names.model_trait("L40S")]
    assert device(resource_class=f"CUSTOM_GPU_L40S_{suffix}", traits=traits).model is None


def test_numa_node_and_link_group_by_trait():
    found = device(traits=["CUSTOM_GPU_NUMA_3", "CUSTOM_GPU_LINK_NVS0"])
    assert (found.numa_node, found.link_group) == (3, ("nvs0",))


@pytest.mark.parametrize(
    ("resource", "consumers", "state"),
    [
        (Resource(1), (), DeviceState.FREE),
        (Resource(1, used=1), (_CONSUMER,), DeviceState.IN_USE),
        (Resource(1, 1, 1), (_CONSUMER,), DeviceState.IN_USE),
        (Resource(1, used=1), (), DeviceState.IN_USE),
        (Resource(1, 1), (), DeviceState.RESERVED),
        (Resource(0), (), DeviceState.RESERVED),
        (Resource(1, used=1), (_WRONG,), DeviceState.STUCK),
        (Resource(4, used=2), (_CONSUMER,), DeviceState.FREE),
        (
            Resource(2, used=2),
            (DeviceConsumer("s"), DeviceConsumer("t", "why")),
            DeviceState.IN_USE,
        ),
    ],
)
def test_states(resource, consumers, state):
    found = device(*consumers, resource=resource)
    assert found.state is state
    assert found.consumers == tuple(consumer.uuid for consumer in consumers)
    if any(consumer.error for consumer in consumers):
        assert found.note == "why"


def test_a_provider_without_inventory_is_reserved():
    found = devices.device("h", ResourceProvider("u", "h_0000:01:00.0"), (), ())
    assert (found.state, found.resource.total) == (DeviceState.RESERVED, 0)
    assert "nova-compute" in found.note
