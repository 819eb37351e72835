# SPDX-License-Identifier: Apache-2.0
import pytest
import yaml

from nova_gpu_passthrough.fleet import aliases
from nova_gpu_passthrough.fleet.offers import choose
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.generate import guests
from nova_gpu_passthrough.inventory.host import Cpu
from nova_gpu_passthrough.inventory.pci import Bar
from tests.unit.generate import builders


def table(*hosts, **changes):
    settings = Settings(**changes)
    offers, _ = choose(hosts, settings)
    made, _ = aliases.make(offers, settings.numa_policy)
    return yaml.safe_load(guests.table(offers, made, settings))


def flavors(*hosts, **changes):
    (entry,) = table(*hosts, **changes)["gpus"]
    return {flavor["gpus"]: flavor for flavor in entry["flavors"]}


def test_image_properties_of_a_gpu_server():
    (entry,) = table(builders.hgx())["gpus"]
    assert entry["image_properties"] == {"hw_machine_type": "q35", "hw_firmware_type": "uefi"}
    assert entry["hosts"] == {"hgx1": 8}
    (arm,) = table(builders.hgx(cpu=Cpu("arm")))["gpus"]
    assert "hw_machine_type" not in arm["image_properties"]


def test_flavors_of_one_to_all_gpus():
    found = flavors(builders.hgx())
    assert sorted(found) == [1, 2, 4, 8]
    assert found[4]["extra_specs"] == {
        "pci_passthrough:alias": "h100-sxm:4",
        "hw:cpu_policy": "dedicated",
        "hw:numa_nodes": "1",
        "hw:pci_numa_affinity_policy": "required",
        "hw:mem_page_size": "small",
        "gpu:link": "required",
        "hw:maxphysaddr_mode": "passthrough",
    }
    assert "gpu:link" not in found[1]["extra_specs"]
    assert found[8]["extra_specs"]["hw:numa_nodes"] == "2"


def test_all_gpus_of_a_host_find_cpus_and_memory():
    for found in (flavors(builders.hgx()), flavors(builders.l40s())):
        most = max(found)
        for count, flavor in found.items():
            assert flavor["vcpus"] * (most // count) <= found[most]["vcpus"]
            assert flavor["ram_mib"] * (most // count) <= found[most]["ram_mib"]
    # Node 0 has 12 pinned CPUs for 4 GPUs.
    assert flavors(builders.hgx())[4]["vcpus"] == 12


def test_companions_are_requested_if_every_gpu_has_one():
    assert flavors(builders.l40s())[2]["extra_specs"]["pci_passthrough:alias"] == (
        "l40s:2,l40s-audio:2"
    )
    mixed = (builders.l40s("a"), builders.l40s("b", audio=False))
    assert flavors(*mixed)[2]["extra_specs"]["pci_passthrough:alias"] == "l40s:2"


def test_huge_pages_and_policy_follow_the_settings():
    specs = flavors(builders.l40s(), hugepages=True, numa_policy="socket")[1]["extra_specs"]
    assert specs["hw:mem_page_size"] == "1GB"
    assert specs["hw:pci_numa_affinity_policy"] == "socket"


def test_the_policy_is_legacy_with_a_gpu_without_numa_node():
    found = builders.changed(builders.l40s(), "0000:41:00.0", numa_node=None)
    assert flavors(found)[1]["extra_specs"]["hw:pci_numa_affinity_policy"] == "legacy"


def test_a_limit_on_memory_by_bars_is_reported():
    found = builders.l40s(
        count=1,
        audio=False,
        cpu=Cpu("intel", None, 39),
        numa_nodes=builders.nodes(memory_mib=512 * 1024),
    )
    found = builders.changed(found, "0000:41:00.0", bars=(Bar(0, 64 * builders.GIB, True, True),))
    flavor = flavors(found)[1]
    assert flavor["most_ram_mib"] < flavor["ram_mib"]


def test_small_bars_need_no_wide_addresses():
    found = builders.l40s(count=2)
    for gpu in found.gpus:
        found = builders.changed(found, gpu.address, bars=(Bar(1, 2**28, True, True),))
    assert "hw:maxphysaddr_mode" not in flavors(found)[2]["extra_specs"]


@pytest.mark.parametrize(
    "model, name, hidden",
    [
        ("GeForce-RTX-4090", "AD102 [GeForce RTX 4090]", True),
        ("RTX-4090", None, True),
        ("TITAN-V", None, True),
        ("RTX-PRO-6000-Server", None, False),
        ("RTX-6000-Ada-Generation", "AD102GL [RTX 6000 Ada Generation]", False),
        ("Quadro-RTX-8000", None, False),
        ("RTX-A6000", None, False),
        ("L40S", "AD102GL [L40S]", False),
        ("H100-SXM", None, False),
    ],
)
def test_consumer_cards_need_a_hidden_hypervisor(model, name, hidden):
    assert guests.hides_hypervisor(model, name) is hidden


def test_image_and_flavor_hide_the_hypervisor():
    found = builders.inventory(
        devices=[builders.device("0000:41:00.0", ids="10de:2684")],
        gpus=[builders.gpu("0000:41:00.0", "RTX-4090")],
    )
    (entry,) = table(found)["gpus"]
    assert entry["image_properties"]["img_hide_hypervisor_id"] == "true"
    assert entry["flavors"][0]["extra_specs"]["hw:hide_hypervisor_id"] == "true"


def test_nics_are_listed():
    assert table(builders.hgx(), nics=("0000:40:00.0",))["nics"] == [
        {"alias": "nic-15b3-1021", "resource_class": "CUSTOM_NIC_15B3_1021"}
    ]
