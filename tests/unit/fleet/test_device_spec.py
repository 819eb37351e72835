# SPDX-License-Identifier: Apache-2.0
from nova_gpu_passthrough.fleet import aliases, device_spec
from nova_gpu_passthrough.fleet.offers import choose
from nova_gpu_passthrough.fleet.releases import parse
from nova_gpu_passthrough.fleet.settings import Settings
from tests.unit.generate import builders


def entries(inventory, **changes):
    settings = Settings(**changes)
    offers, _ = choose([inventory], settings)
    made, _ = aliases.make(offers, "legacy")
    return {entry["address"]: entry for entry in device_spec.make(offers[0], made, settings)}


def test_a_gpu_has_class_traits_and_tags():
    assert entries(builders.hgx())["0000:25:00.0"] == {
        "address": "0000:25:00.0",
        "vendor_id": "10de",
        "product_id": "2330",
        "resource_class": "CUSTOM_GPU_H100_SXM",
        "traits": "CUSTOM_GPU_LINK_NVS0,CUSTOM_GPU_MODEL_H100_SXM,CUSTOM_GPU_NUMA_1",
        "managed": "no",
        "gpu_model": "H100-SXM",
        "gpu_link_group": "nvs0/q1/p2",
        "gpu_switch": "0000:12:00.0",
        "gpu_card": "0000:25:00",
    }


def test_a_companion_has_the_card_but_no_model():
    companion = entries(builders.l40s())["0000:41:00.1"]
    assert companion["resource_class"] == "CUSTOM_GPU_L40S_AUDIO"
    assert companion["gpu_card"] == "0000:41:00"
    assert "gpu_model" not in companion


def test_a_nic_is_managed_by_libvirt():
    nic = entries(builders.hgx(), nics=("0000:42:00.0",))["0000:42:00.0"]
    assert nic == {
        "address": "0000:42:00.0",
        "vendor_id": "15b3",
        "product_id": "1021",
        "resource_class": "CUSTOM_NIC_15B3_1021",
        "traits": "CUSTOM_NIC_NUMA_1",
        "gpu_switch": "0000:12:00.0",
    }


def test_one_time_use_is_set_for_gpus_with_releases_that_know_it():
    found = builders.l40s(count=2)
    new = entries(found, one_time_use=True, release=parse("32"))
    assert {a for a, entry in new.items() if entry.get("one_time_use") == "true"} == {
        "0000:41:00.0",
        "0000:42:00.0",
    }
    old = entries(found, one_time_use=True, release=parse("2025.1"))
    assert not any("one_time_use" in entry for entry in old.values())


def test_vfs_of_one_pf_have_the_same_traits():
    """Otherwise nova-compute does not start, nor with one_time_use on a VF."""
    found = entries(builders.with_vfs(), one_time_use=True)
    assert {entry["traits"] for entry in found.values()} == {
        "CUSTOM_GPU_MODEL_MI300X_VF,CUSTOM_GPU_NUMA_0"
    }
    assert not any("one_time_use" in entry for entry in found.values())


def test_an_unknown_numa_node_gives_no_trait():
    found = builders.changed(builders.l40s(audio=False), "0000:41:00.0", numa_node=None)
    assert entries(found)["0000:41:00.0"]["traits"] == "CUSTOM_GPU_MODEL_L40S"
