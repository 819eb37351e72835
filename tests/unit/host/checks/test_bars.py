# SPDX-License-Identifier: Apache-2.0
"""BARs on the host, and the guests that they fit into."""

import dataclasses

import pytest

from nova_gpu_passthrough.host.checks.bars import check, size_text
from nova_gpu_passthrough.inventory.findings import Remedy, Severity
from nova_gpu_passthrough.inventory.host import Cpu
from nova_gpu_passthrough.inventory.pci import Bar
from tests.unit.audited import HGX, L40S, MACHINES, audit_machine, changed, only

GPU = "0000:18:00.0"
GIB, MIB = 2**30, 2**20
H100 = (Bar(0, 16 * MIB, True, True), Bar(2, 128 * GIB, True, True), Bar(4, 32 * MIB, True, True))


def _findings(inventory):
    return {finding.id: finding for finding in check(inventory)}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (128 * GIB, "128 GiB"),
        (3 * GIB // 2, "1536 MiB"),
        (16 * MIB, "16 MiB"),
        (4096, "4 KiB"),
        (128, "128 bytes"),
        (GIB + 1, f"{GIB + 1} bytes"),
    ],
)
def test_sizes_in_the_largest_unit(number, text):
    assert size_text(number) == text


def test_bars_with_addresses():
    finding = only([f for f in check(audit_machine(HGX)) if f.subject == GPU], "bar.assigned")
    assert finding.found == "BAR 0 16 MiB, BAR 2 128 GiB, BAR 4 32 MiB"


def test_a_bar_without_an_address_is_named():
    bars = (H100[0], dataclasses.replace(H100[1], assigned=False), H100[2])
    inventory = changed(audit_machine(HGX), GPU, bars=bars)
    finding = only(check(inventory), "bar.unassigned")
    assert finding.found == "no address range for BAR 2 (128 GiB)"
    assert finding.remedy is Remedy.FIRMWARE


def test_bars_of_virtual_functions_may_lack_addresses():
    bars = (*H100, Bar(9, 128 * GIB, True, True, assigned=False))
    inventory = changed(audit_machine(HGX), GPU, bars=bars)
    assert "bar.unassigned" not in _findings(inventory)


def test_no_finding_without_bars():
    inventory = changed(audit_machine(HGX), GPU, bars=())
    assert not [finding for finding in check(inventory) if finding.subject == GPU]


def test_only_prefetchable_64_bit_bars_are_above_4_gib_behind_a_port():
    bars = (
        Bar(0, 16 * MIB, prefetchable=False, is_64bit=True),
        Bar(2, 16 * GIB, prefetchable=True, is_64bit=True),
        Bar(4, 32 * MIB, prefetchable=True, is_64bit=False),
        Bar(9, 64 * GIB, prefetchable=True, is_64bit=True),
    )
    inventory = changed(audit_machine(HGX), GPU, bars=bars)
    assert inventory.by_address[GPU].high_bars == (16 * GIB,)


def test_all_gpus_of_a_board_fit_with_many_address_bits():
    finding = _findings(audit_machine(HGX))["address_space.needs_passthrough"]
    assert finding.severity is Severity.OK
    assert "H100-SXM: 256 GiB of a guest's address space each" in finding.found
    assert "with the host's 52 bits and UEFI all 8 fit" in finding.found
    assert "with QEMU's default of 40 bits and UEFI none fits" in finding.found
    # Without host-passthrough libvirt rejects Nova's extra spec.
    assert "cpu_mode = host-passthrough" in finding.fix


def test_bars_do_not_fit_with_few_address_bits():
    inventory = dataclasses.replace(audit_machine(HGX), cpu=Cpu("intel", None, 42))
    finding = _findings(inventory)["address_space.too_small"]
    assert finding.severity is Severity.WARNING
    assert "42 bits" in finding.found


def test_small_bars_fit_in_any_guest():
    bars = (Bar(0, 16 * MIB, True, True), Bar(2, 256 * MIB, True, True))
    inventory = audit_machine(L40S)
    for gpu in inventory.gpus:
        inventory = changed(inventory, gpu.address, bars=bars)
    assert "address_space.ample" in _findings(inventory)


def test_an_arm_host_has_no_findings_about_address_space():
    found = _findings(audit_machine(MACHINES["arm"]))
    assert not [identity for identity in found if identity.startswith("address_space.")]


def test_each_model_has_its_own_finding():
    inventory = audit_machine(HGX)
    gpus = [dataclasses.replace(gpu, model=f"M{n % 2}") for n, gpu in enumerate(inventory.gpus)]
    inventory = dataclasses.replace(inventory, gpus=tuple(gpus))
    found = [f.found for f in check(inventory) if f.id.startswith("address_space.")]
    assert [text.partition(":")[0] for text in found] == ["M0", "M1"]
    assert all("all 4 fit" in text for text in found)
