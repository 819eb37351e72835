# SPDX-License-Identifier: Apache-2.0
import pytest

from nova_gpu_passthrough.fleet.desired import Desired
from tests.unit.cloud.apply.direct import away

NAMES = {"trait": "traits", "resource class": "classes"}


def _desired(kind, *names):
    return Desired("paris", **{"traits" if kind == "trait" else "resource_classes": names})


@pytest.fixture(params=sorted(NAMES))
def kind(request):
    return request.param


@pytest.fixture
def names(direct, kind):
    return getattr(direct.names, NAMES[kind])


def test_what_is_missing_is_made(apply, kind, names):
    names.add("CUSTOM_OTHER")
    assert apply(_desired(kind, "CUSTOM_A")).changes == ()
    assert names == {"CUSTOM_OTHER", "CUSTOM_A"}


def test_placements_own_names_are_not_made(direct, kind):
    assert direct.plan(_desired(kind, "VGPU", "HW_GPU_API_VULKAN")).changes == ()


def test_what_it_made_goes_with_the_fleet_file(apply, kind, names):
    apply(_desired(kind, "CUSTOM_A", "CUSTOM_B"))
    apply(_desired(kind, "CUSTOM_B"))
    assert names == {"CUSTOM_B"}


def test_what_is_used_stays(apply, reasons, direct, kind, names):
    apply(_desired(kind, "CUSTOM_A", "CUSTOM_B"))
    direct.names.used.add("CUSTOM_A")
    apply(_desired(kind))
    assert names == {"CUSTOM_A"}
    assert reasons(_desired(kind)) == [
        f"{kind} CUSTOM_A: not needed any more, but resource providers have it"
    ]


def test_what_was_there_stays_unless_it_is_pruned(apply, reasons, kind, names):
    names.add("CUSTOM_A")
    apply(_desired(kind, "CUSTOM_A"))
    apply(_desired(kind))
    assert names == {"CUSTOM_A"}
    assert reasons(_desired(kind)) == [
        (
            f"{kind} CUSTOM_A: not in the fleet file any more, and there before apply; "
            "--prune deletes it"
        )
    ]
    apply(_desired(kind), prune=True)
    assert names == set()


def test_what_somebody_made_at_the_same_time_is_theirs(direct, kind, names):
    direct.before = lambda number, what: names.add("CUSTOM_A")
    direct.apply(_desired(kind, "CUSTOM_A"))
    direct.before = lambda number, what: None
    direct.apply(_desired(kind))
    assert names == {"CUSTOM_A"}


def test_what_it_made_without_hearing_of_it_is_its_own(direct, kind, names):
    def lose(number, what):
        if number == 1:
            raise away()

    direct.after = lose
    direct.apply(_desired(kind, "CUSTOM_A"))
    direct.apply(_desired(kind))
    assert names == set()


def test_what_somebody_deleted_first_is_gone_all_the_same(direct, apply, kind, names):
    apply(_desired(kind, "CUSTOM_A"))
    direct.before = lambda number, what: names.clear()
    apply(_desired(kind))
    assert direct.record.entries == ()


def test_classes_with_room_are_found_without_asking_each_provider(cloud):
    """By the real Placement."""
    from nova_gpu_passthrough.cloud.apply.api import Api
    from nova_gpu_passthrough.cloud.apply.placement_names import RESOURCE_CLASSES, TRAITS

    root = cloud.placement.add_host("gpu01", traits=["CUSTOM_T"])
    device = cloud.placement.add_device(root, "gpu01_0000:1B:00.0", "CUSTOM_GPU_H100")
    cloud.placement.call("PUT", "/resource_classes/CUSTOM_FREE")
    cloud.placement.call("PUT", "/traits/CUSTOM_FREE")
    api, both = Api(cloud.connection()), {"CUSTOM_GPU_H100", "CUSTOM_FREE"}
    assert TRAITS.used(api, {"CUSTOM_T", "CUSTOM_FREE"}) == ["CUSTOM_T"]
    assert RESOURCE_CLASSES.used(api, {"CUSTOM_GPU_H100"}) == {"CUSTOM_GPU_H100"}
    assert cloud.asked("inventories") == []
    assert RESOURCE_CLASSES.used(api, both) == {"CUSTOM_GPU_H100"}
    cloud.placement.allocate(
        "11111111-1111-4111-8111-111111111111", {device: {"CUSTOM_GPU_H100": 1}}
    )
    assert RESOURCE_CLASSES.used(api, both) == {"CUSTOM_GPU_H100"}
    assert set(TRAITS.read(api)) >= {"CUSTOM_T", "CUSTOM_FREE"}
    assert set(RESOURCE_CLASSES.read(api)) == both


def test_what_was_there_and_is_used_is_not_worth_a_word(direct, apply, reasons, kind, names):
    """Such as the traits that nova-compute makes."""
    names.add("CUSTOM_A")
    direct.names.used.add("CUSTOM_A")
    apply(_desired(kind, "CUSTOM_A"))
    apply(_desired(kind))
    assert reasons(_desired(kind)) == []
    assert len(reasons(_desired(kind), prune=True)) == 1
