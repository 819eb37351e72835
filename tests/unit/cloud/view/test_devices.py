# SPDX-License-Identifier: Apache-2.0
"""Names, models and states of devices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.cloud.view import devices, model
from nova_gpu_passthrough.cloud.view.devices import Holder
from nova_gpu_passthrough.cloud.view.model import DeviceState, Resource
from nova_gpu_passthrough.cloud.view.providers import Provider
from nova_gpu_passthrough.fleet import aliases

_HEX = "0123456789ABCDEF"
_ONE = Resource(1)


def provider(resource=_ONE, resource_class="CUSTOM_GPU_X", traits=()):
    return Provider("u", "h_0000:1B:00.0", frozenset(traits), {resource_class: resource})


def device(*holders, known=(), **changes):
    return devices.device("h", provider(**changes), (), holders, known)


@given(
    st.text("abc123._-", min_size=1),
    st.tuples(*(st.text(_HEX, min_size=n, max_size=n) for n in (4, 2, 2)), st.integers(0, 7)),
)
def test_names_of_providers_hold_node_and_address(node, parts):
    domain, bus, slot, function = parts
    for name in (
        f"{node}_{domain}:{bus}:{slot}.{function}",
        f"{node}_pci_{domain}_{bus}_{slot}_{function}".lower(),
    ):
        assert devices.node_of(name) == node.lower()
        assert devices.address_of(name) == f"{domain}:{bus}:{slot}.{function}".lower()


@pytest.mark.parametrize("name", ["gpu1", "gpu1_eth0", "_0000:01:00", "0000:01:00.0"])
def test_other_names_hold_none(name):
    assert devices.node_of(name) is None
    assert devices.address_of(name) is None


@pytest.mark.parametrize("name", models.names())
def test_every_model_of_the_catalogue_is_known_by_its_trait(name):
    assert device(traits=[aliases.trait("GPU_MODEL", name)]).model == name


def test_a_model_of_the_fleet_is_known_by_its_trait():
    traits = [aliases.trait("GPU_MODEL", "my-Card 2")]
    assert device(traits=traits, known=["my-Card 2"]).model == "my-Card 2"
    assert device(traits=traits).model == "MY_CARD_2"


@pytest.mark.parametrize("suffix", ["AUDIO", "USB", "UCSI", "AUDIO_TYPE_PF"])
def test_companions_carry_the_model_s_trait_and_are_no_gpus(suffix):
    traits = [aliases.trait("GPU_MODEL", "L40S")]
    assert device(resource_class=f"CUSTOM_GPU_L40S_{suffix}", traits=traits).model is None


def test_numa_node_and_link_group_by_trait():
    found = device(traits=["CUSTOM_GPU_NUMA_3", "CUSTOM_GPU_LINK_NVS0"])
    assert (found.numa_node, found.link_group) == (3, ("nvs0",))


@pytest.mark.parametrize(
    ("resource", "holders", "state"),
    [
        (Resource(1), (), DeviceState.FREE),
        (Resource(1, used=1), (Holder("s"),), DeviceState.IN_USE),
        (Resource(1, 1, 1), (Holder("s"),), DeviceState.IN_USE),
        (Resource(1, used=1), (), DeviceState.IN_USE),
        (Resource(1, 1), (), DeviceState.RESERVED),
        (Resource(0), (), DeviceState.RESERVED),
        (Resource(1, used=1), (Holder("s", "why"),), DeviceState.STUCK),
        (Resource(4, used=2), (Holder("s"),), DeviceState.FREE),
        (Resource(2, used=2), (Holder("s"), Holder("t", "why")), DeviceState.IN_USE),
    ],
)
def test_states(resource, holders, state):
    found = device(*holders, resource=resource)
    assert found.state is state
    assert found.consumers == tuple(holder.consumer for holder in holders)
    if any(holder.wrong for holder in holders):
        assert found.note == "why"


def test_a_provider_without_inventory_is_told():
    found = devices.device("h", Provider("u", "h_0000:01:00.0"), (), ())
    assert (found.state, found.resource.total) == (DeviceState.RESERVED, 0)
    assert "nova-compute" in found.note


@given(
    st.lists(
        st.builds(
            lambda total, reserved, used, wrong: device(
                *[Holder("s", "why" if wrong else "")] * bool(used),
                resource=Resource(total, min(reserved, total), min(used, total)),
            ),
            st.integers(0, 4),
            st.integers(0, 4),
            st.integers(0, 4),
            st.booleans(),
        )
    )
)
def test_every_unit_is_counted_once(found):
    counted = model.count(found)
    assert counted.total == sum(device.resource.total for device in found)
    assert counted.free == sum(device.resource.free for device in found)
    assert min(counted.__dict__.values()) >= 0


def test_free_devices_by_node():
    nodes = [None, 1, 0, 1]
    found = [device(traits=[] if node is None else [f"CUSTOM_GPU_NUMA_{node}"]) for node in nodes]
    used = device(Holder("s"), resource=Resource(1, used=1), traits=["CUSTOM_GPU_NUMA_2"])
    assert list(model.free_by_node([*found, used]).items()) == [(0, 1), (1, 2), (2, 0), (None, 1)]
