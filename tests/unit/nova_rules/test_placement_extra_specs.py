# SPDX-License-Identifier: Apache-2.0
"""Extra specs for requests to Placement are recognized as Nova recognizes them."""

from hypothesis import given
from hypothesis import strategies as st
from nova.scheduler.utils import ResourceRequest

from nova_gpu_passthrough.nova_rules import placement_extra_specs

SPECS = {
    "resources:VGPU": "1",
    "resources1:CUSTOM_FPGA": "2",
    "resources_NET:BANDWIDTH": "3",
    "trait:CUSTOM_FAST": "required",
    "trait2:CUSTOM_SLOW": "forbidden",
    "hw:numa_nodes": "1",
    "xresources:VGPU": "1",
}


def test_resource_classes_with_their_groups():
    assert [tuple(one) for one in placement_extra_specs.resources(SPECS)] == [
        ("resources:VGPU", "", "VGPU", "1"),
        ("resources1:CUSTOM_FPGA", "1", "CUSTOM_FPGA", "2"),
        ("resources_NET:BANDWIDTH", "_NET", "BANDWIDTH", "3"),
    ]


def test_traits_with_their_groups():
    assert [(one.group, one.name, one.value) for one in placement_extra_specs.traits(SPECS)] == [
        ("", "CUSTOM_FAST", "required"),
        ("2", "CUSTOM_SLOW", "forbidden"),
    ]


@given(
    st.lists(st.sampled_from(["resources", "trait", "1", "_A", "-", ":", "X", " "])).map("".join)
)
def test_keys_agree_with_nova(key):
    match = ResourceRequest.XS_KEYPAT.match(key)
    expected = [(match[2] or "", match[3])] if match else []
    found = [*placement_extra_specs.resources({key: ""}), *placement_extra_specs.traits({key: ""})]
    assert [(one.group, one.name) for one in found] == expected
