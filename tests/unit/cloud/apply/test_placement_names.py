# SPDX-License-Identifier: Apache-2.0
import pytest

from nova_gpu_passthrough.fleet.desired_state import DesiredState
from tests.unit.cloud.apply.direct import away

NAMES = {"trait": "traits", "resource class": "classes"}


def _desired(kind, *names):
    return DesiredState("paris", **{"traits" if kind == "trait" else "resource_classes": names})


@pytest.fixture(params=sorted(NAMES))
def kind(request):
    return request.param


@pytest.fixture
def names(direct, kind):
    return getattr(direct.names, NAMES[kind])


def test_missing_names_are_created(apply, kind, names):
    names.add("CUSTOM_OTHER")
    assert apply(_desired(kind, "CUSTOM_A")).changes == ()
    assert names == {"CUSTOM_OTHER", "CUSTOM_A"}


def test_standard_names_are_not_created(direct, kind):
    assert direct.plan(_desired(kind, "VGPU", "HW_GPU_API_VULKAN")).changes == ()


def test_names_that_apply_created_are_deleted(apply, kind, names):
    apply(_desired(kind, "CUSTOM_A", "CUSTOM_B"))
    apply(_desired(kind, "CUSTOM_B"))
    assert names == {"CUSTOM_B"}


def test_names_in_use_stay(apply, reasons, direct, kind, names):
    apply(_desired(kind, "CUSTOM_A", "CUSTOM_B"))
    direct.names.used.add("CUSTOM_A")
    apply(_desired(kind))
    assert names == {"CUSTOM_A"}
    assert reasons(_desired(kind)) == [
        f"{kind} CUSTOM_A: not needed any more, but resource providers have it"
    ]


def test_adopted_names_stay_unless_pruned(apply, reasons, kind, names):
    names.add("CUSTOM_A")
    apply(_desired(kind, "CUSTOM_A"))
    apply(_desired(kind))
    assert names == {"CUSTOM_A"}
    assert reasons(_desired(kind)) == [
        (
            f"{kind} CUSTOM_A: not in the fleet file any more, and it existed before apply; "
            "--prune deletes it"
        )
    ]
    apply(_desired(kind), prune=True)
    assert names == set()


def test_a_name_created_by_others_at_the_same_time_is_adopted(direct, kind, names):
    direct.before = lambda number, what: names.add("CUSTOM_A")
    direct.apply(_desired(kind, "CUSTOM_A"))
    direct.before = lambda number, what: None
    direct.apply(_desired(kind))
    assert names == {"CUSTOM_A"}


def test_a_name_created_without_a_response_is_created_by_apply(direct, kind, names):
    def lose(number, what):
        if number == 1:
            raise away()

    direct.after = lose
    direct.apply(_desired(kind, "CUSTOM_A"))
    direct.apply(_desired(kind))
    assert names == set()


def test_a_name_deleted_by_others_loses_its_entry(direct, apply, kind, names):
    apply(_desired(kind, "CUSTOM_A"))
    direct.before = lambda number, what: names.clear()
    apply(_desired(kind))
    assert direct.record.entries == ()


def test_used_classes_are_found_without_reading_each_provider(cloud):
    """By the real Placement."""
    from nova_gpu_passthrough.cloud.apply.placement_names import RESOURCE_CLASSES, TRAITS
    from nova_gpu_passthrough.cloud.apply.writer import CloudWriter

    root = cloud.placement.add_host("gpu01", traits=["CUSTOM_T"])
    device = cloud.placement.add_device(root, "gpu01_0000:1B:00.0", "CUSTOM_GPU_H100")
    cloud.placement.call("PUT", "/resource_classes/CUSTOM_FREE")
    cloud.placement.call("PUT", "/traits/CUSTOM_FREE")
    api, both = CloudWriter(cloud.connection()), {"CUSTOM_GPU_H100", "CUSTOM_FREE"}
    assert TRAITS.read_used(api, {"CUSTOM_T", "CUSTOM_FREE"}) == ["CUSTOM_T"]
    assert RESOURCE_CLASSES.read_used(api, {"CUSTOM_GPU_H100"}) == {"CUSTOM_GPU_H100"}
    assert cloud.requested("inventories") == []
    assert RESOURCE_CLASSES.read_used(api, both) == {"CUSTOM_GPU_H100"}
    cloud.placement.allocate(
        "11111111-1111-4111-8111-111111111111", {device: {"CUSTOM_GPU_H100": 1}}
    )
    assert RESOURCE_CLASSES.read_used(api, both) == {"CUSTOM_GPU_H100"}
    assert set(TRAITS.read(api)) >= {"CUSTOM_T", "CUSTOM_FREE"}
    assert set(RESOURCE_CLASSES.read(api)) == both


def test_adopted_names_in_use_are_not_reported(direct, apply, reasons, kind, names):
    """Such as the traits that nova-compute makes."""
    names.add("CUSTOM_A")
    direct.names.used.add("CUSTOM_A")
    apply(_desired(kind, "CUSTOM_A"))
    apply(_desired(kind))
    assert reasons(_desired(kind)) == []
    assert len(reasons(_desired(kind), prune=True)) == 1
