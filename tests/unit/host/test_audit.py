# SPDX-License-Identifier: Apache-2.0
"""The audit reports every defect of a host by its id and subject, and nothing else."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.host import audit
from nova_gpu_passthrough.host.audit import verdicts
from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Remedy, Severity, Verdict
from nova_gpu_passthrough.inventory.pci import Gpu
from tests.trees import defects, write
from tests.trees.device import Device
from tests.trees.many import many
from tests.unit.audited import (
    HGX,
    L40S,
    MACHINES,
    MI300X,
    audit_machine,
    audited,
    clean,
    finding,
    ids,
)

READY, CONFIGURE, UNFIT = Verdict.READY, Verdict.CONFIGURE, Verdict.UNFIT
GPU, OTHER_GPU = "0000:18:00.0", "0000:2a:00.0"
CARD, AUDIO = "0000:01:00.0", "0000:01:00.1"
NIC = "0000:19:00.0"
VF = "0000:18:00.2"


def _peer(machine, driver):
    """Another device in a GPU's group: the ports above both lack ACS."""
    machine = defects.no_acs(machine, CARD)
    peer = Device("0000:01:01.0", 0x8086, 0x1572, 0x020000, driver=driver, d3cold_allowed=False)
    return defects.added(machine, "0000:00:01.1", peer)


def _isa(machine, driver):
    machine = defects.no_acs(machine, CARD)
    bridge = Device("0000:01:01.0", 0x8086, 0x1B81, 0x060100, driver=driver)
    return defects.added(machine, "0000:00:01.1", bridge)


def _vfs(machine, count=2, parent_driver="nvidia"):
    machine = defects.virtual_functions(machine, GPU, count)
    if parent_driver:
        machine = machine.alter(GPU, driver=parent_driver)
    return machine


def _off(machine, words):
    return defects.iommu_off(machine, words)


#: Name; machine; ids of warnings and failures of the host, and of one GPU; verdicts of that GPU and
#: of the other GPUs.
DEFECTS = [
    (
        "iommu off by command line",
        _off(HGX, "intel_iommu=off"),
        {"iommu.off"},
        set(),
        2 * [CONFIGURE],
    ),
    ("iommu not switched on", _off(HGX, ""), {"iommu.off"}, set(), 2 * [CONFIGURE]),
    (
        "iommu off in firmware",
        defects.iommu_disabled_in_firmware(HGX),
        {"iommu.no_firmware"},
        set(),
        2 * [CONFIGURE],
    ),
    (
        "interrupts not remapped",
        defects.no_interrupt_remapping(HGX),
        {"interrupt_remapping.off"},
        set(),
        2 * [CONFIGURE],
    ),
    (
        "acs overridden",
        dataclasses.replace(HGX, command_line="intel_iommu=on pcie_acs_override=downstream"),
        {"acs.overridden"},
        set(),
        2 * [READY],
    ),
    ("no acs at the switch", defects.no_acs(HGX, GPU), set(), {"group.foreign"}, [UNFIT, READY]),
    ("narrow link", defects.degraded(HGX, GPU, width=8), set(), {"link.narrow"}, 2 * [READY]),
    ("slow link", defects.degraded(HGX, GPU, speed=8.0), set(), {"link.slow"}, 2 * [READY]),
    (
        "slower slot",
        defects.slower_slot(HGX, GPU, 16.0, 8),
        set(),
        {"link.narrow", "link.slow"},
        2 * [READY],
    ),
    (
        "no NUMA node",
        defects.no_numa_node(HGX, GPU),
        set(),
        {"numa.gpu_without_node"},
        2 * [READY],
    ),
    ("nouveau", defects.bound(HGX, "nouveau", GPU), set(), {"driver.taken"}, [CONFIGURE, READY]),
    ("nvidia", defects.bound(HGX, "nvidia", GPU), set(), {"driver.taken"}, [CONFIGURE, READY]),
    ("no driver", defects.bound(HGX, None, GPU), set(), {"driver.could_take"}, 2 * [READY]),
    (
        "no driver, kept for vfio-pci",
        defects.overridden(defects.bound(HGX, None, GPU), GPU, "vfio-pci"),
        set(),
        set(),
        2 * [READY],
    ),
    ("no reset", defects.no_reset(HGX, GPU), set(), {"reset.none"}, [UNFIT, READY]),
    ("boot display", defects.boot_vga(HGX, GPU), set(), {"boot_vga"}, 2 * [READY]),
    (
        "virtual functions",
        _vfs(HGX).alter(GPU, d3cold_allowed=False),
        set(),
        {"sriov.vfs_enabled"},
        [CONFIGURE, READY],
    ),
    (
        "registers without an address",
        defects.physical_bits(HGX, 36),
        {"address_space.too_small"},
        {"bar.unassigned"},
        2 * [CONFIGURE],
    ),
    ("confidentiality", defects.lockdown(HGX, "confidentiality"), {"kernel.lockdown"}, set(),
     2 * [READY]),
    ("integrity", defects.lockdown(HGX), set(), set(), 2 * [READY]),
    (
        "asleep",
        defects.in_d3cold(HGX, GPU),
        set(),
        {"driver.could_take", "power.d3cold"},
        2 * [READY],
    ),
    (
        "may sleep",
        HGX.alter(GPU, d3cold_allowed=True),
        set(),
        {"power.d3cold_allowed"},
        2 * [READY],
    ),
    (
        "no huge pages",
        defects.hugepages(HGX, 0, 1048576, 0, 0),
        {"hugepages.none"},
        set(),
        2 * [READY],
    ),
    ("a device is missing", defects.removed(HGX, NIC), set(), set(), 2 * [READY]),
    ("vfio not loaded", defects.without_modules(HGX), set(), set(), 2 * [READY]),
]  # fmt: skip
CARD_DEFECTS = [
    (
        "audio held",
        defects.bound(L40S, "snd_hda_intel", AUDIO),
        {"companion.taken"},
        [CONFIGURE, READY],
    ),
    ("audio free", defects.bound(L40S, None, AUDIO), {"companion.could_take"}, 2 * [READY]),
    (
        "audio kept for vfio-pci",
        defects.overridden(defects.bound(L40S, None, AUDIO), AUDIO, "vfio-pci"),
        set(),
        2 * [READY],
    ),
    ("peer with a driver", _peer(L40S, "i40e"), {"group.foreign"}, [UNFIT, READY]),
    ("peer without a driver", _peer(L40S, None), {"group.foreign_idle"}, 2 * [READY]),
    ("peer on vfio-pci", _peer(L40S, "vfio-pci"), {"group.foreign_idle"}, 2 * [READY]),
    ("ISA bridge with a driver", _isa(L40S, "lpc_ich"), {"group.foreign"}, [UNFIT, READY]),
    ("ISA bridge without a driver", _isa(L40S, None), set(), 2 * [READY]),
    ("port without ACS", defects.no_acs(L40S, CARD), set(), 2 * [READY]),
]


def _verdicts(inventory, address):
    assert set(inventory.verdicts) == {gpu.address for gpu in inventory.gpus}
    others = {
        verdict
        for other, verdict in inventory.verdicts.items()
        if other != address and not inventory.by_address[other].physical_function
    }
    assert len(others) == 1
    return [inventory.verdicts[address], *others]


@pytest.mark.parametrize("machine", [HGX, L40S, MI300X], ids=lambda machine: machine.name)
@pytest.mark.parametrize("full_config", [False, True])
def test_nothing_is_wrong_with_a_clean_machine(machine, full_config):
    inventory = audit_machine(machine, full_config)
    assert not ids(inventory)
    assert set(inventory.verdicts.values()) == {READY}


@pytest.mark.parametrize(
    ("machine", "of_host", "of_gpu", "verdicts"),
    [case[1:] for case in DEFECTS],
    ids=[case[0] for case in DEFECTS],
)
def test_a_defect_of_a_board(machine, of_host, of_gpu, verdicts):
    inventory = audit_machine(machine)
    assert ids(inventory, subject=HOST) == of_host
    assert ids(inventory, subject=GPU) == of_gpu
    assert _verdicts(inventory, GPU) == verdicts
    if verdicts[0] != verdicts[1] or not of_gpu & {"bar.unassigned"}:
        assert not ids(inventory, subject=OTHER_GPU)


@pytest.mark.parametrize(
    ("machine", "of_gpu", "verdicts"),
    [case[1:] for case in CARD_DEFECTS],
    ids=[case[0] for case in CARD_DEFECTS],
)
def test_a_defect_of_a_card(machine, of_gpu, verdicts):
    inventory = audit_machine(machine)
    assert not ids(inventory, subject=HOST)
    assert ids(inventory, subject=CARD) == of_gpu
    assert _verdicts(inventory, CARD) == verdicts


def test_a_virtual_function_below_a_function_on_vfio():
    inventory = audit_machine(_vfs(HGX, parent_driver=None))
    assert "sriov.pf_on_vfio" in ids(inventory, subject=VF)
    assert inventory.verdicts[VF] is CONFIGURE


def test_firmware_without_any_numa_node():
    inventory = audit_machine(defects.no_numa_node(HGX))
    assert len([f for f in inventory.findings if f.id == "numa.gpu_without_node"]) == 8


def test_gpus_of_one_group_are_unfit():
    machine = defects.no_acs(clean(many(2, 16)), "0000:03:00.0")
    inventory = audit_machine(machine)
    assert {ids(inventory, subject=gpu.address).pop() for gpu in inventory.gpus} == {"group.shared"}
    assert set(inventory.verdicts.values()) == {UNFIT}


def test_a_vanished_device_is_reported_and_left_out(folder):
    root = write(HGX, folder / "tree")
    defects.vanished(root, GPU)
    inventory = audited(root)
    assert GPU not in inventory.by_address
    assert len(inventory.gpus) == 7
    assert ids(inventory) == {"read.unusable"}
    assert GPU in finding(inventory, "read.unusable").found


def test_a_dead_device_is_no_error(folder):
    root = write(HGX, folder / "tree", full_config=True)
    defects.dead(root, GPU)
    inventory = audited(root)
    assert len(inventory.gpus) == 8
    assert not ids(inventory, subject=OTHER_GPU)


def test_64_gpus_are_judged():
    inventory = audit_machine(clean(many(64, 256)))
    assert len(inventory.devices) == 256
    assert len(inventory.verdicts) == 64
    assert set(inventory.verdicts.values()) == {READY}
    assert not ids(inventory)


@pytest.mark.parametrize("name", MACHINES)
def test_findings_have_complete_texts(name):
    inventory = audit_machine(MACHINES[name])
    subjects = {HOST, *(gpu.address for gpu in inventory.gpus)}
    for one in inventory.findings:
        assert one.subject in subjects
        assert one.found and one.source
        assert "None" not in one.found
        assert one.found.isprintable()
        if one.severity is not Severity.OK and one.id != "verdict":
            assert one.why.endswith((".", ")"))
            assert one.fix
        if one.severity is Severity.OK:
            assert one.remedy is Remedy.NONE


def test_a_finding_id_has_one_severity():
    """Ids are documented, and operators filter by them: their meaning must not change."""
    severities = {}
    for _, machine, *_ in [*DEFECTS, *CARD_DEFECTS]:
        for one in audit_machine(machine).findings:
            if one.id != "verdict":
                severities.setdefault(one.id, set()).add(one.severity)
    assert {identity: several for identity, several in severities.items() if len(several) > 1} == {}


def test_a_verdict_is_a_finding_with_its_reasons():
    machine = defects.bound(defects.no_reset(_off(HGX, ""), GPU), "nouveau", GPU)
    inventory = audit_machine(machine)
    verdict = finding(inventory, "verdict", GPU)
    assert verdict.severity is Severity.FAILURE
    assert verdict.found == "unfit: driver.taken, iommu.off, reset.none"
    other = finding(inventory, "verdict", OTHER_GPU)
    assert other.found == "ready after configuration: iommu.off"


def test_other_findings_affect_the_verdict():
    facts = audit_machine(HGX)
    hot = Finding("thermal.alarm", Severity.FAILURE, GPU, "95 C", "URL", remedy=Remedy.HARDWARE)
    inventory = audit.judge(facts, iter([hot]))
    assert hot in inventory.findings
    assert _verdicts(inventory, GPU) == [UNFIT, READY]


def test_facts_are_not_changed_and_old_findings_are_replaced():
    facts = dataclasses.replace(audit_machine(HGX), findings=())
    once = audit.judge(facts)
    assert facts.findings == ()
    assert audit.judge(once) == once


GPUS = [Gpu(f"0000:0{n}:00.0", "H100-SXM", "catalogue", f"0000:0{n}:00") for n in range(3)]
A, B, C = (gpu.address for gpu in GPUS)
ORDER = [Verdict.READY, Verdict.CONFIGURE, Verdict.UNFIT]

FINDINGS = st.lists(
    st.builds(
        Finding,
        id=st.just("x.y"),
        severity=st.sampled_from(Severity),
        subject=st.sampled_from([HOST, A, B, C, "0000:ff:00.0"]),
        found=st.just("f"),
        source=st.just("s"),
        remedy=st.sampled_from(Remedy),
    ),
    max_size=6,
)


def _finding(subject, remedy, severity=Severity.FAILURE):
    return Finding("x.y", severity, subject, "f", "s", remedy=remedy)


@pytest.mark.parametrize("severity", [Severity.OK, Severity.WARNING])
@pytest.mark.parametrize("remedy", Remedy)
def test_only_failures_count(severity, remedy):
    assert set(verdicts(GPUS, [_finding(HOST, remedy, severity)]).values()) == {Verdict.READY}


@pytest.mark.parametrize(
    ("remedy", "verdict"),
    [
        (Remedy.CONFIGURATION, Verdict.CONFIGURE),
        (Remedy.FIRMWARE, Verdict.CONFIGURE),
        (Remedy.HARDWARE, Verdict.UNFIT),
        (Remedy.NONE, Verdict.UNFIT),
    ],
)
def test_the_remedy_decides_the_verdict(remedy, verdict):
    assert verdicts(GPUS, [_finding(B, remedy)]) == {A: Verdict.READY, B: verdict, C: Verdict.READY}
    assert set(verdicts(GPUS, [_finding(HOST, remedy)]).values()) == {verdict}


def test_the_worst_failure_of_host_and_gpu_decides():
    result = verdicts(GPUS, [_finding(HOST, Remedy.CONFIGURATION), _finding(B, Remedy.HARDWARE)])
    assert result == {A: Verdict.CONFIGURE, B: Verdict.UNFIT, C: Verdict.CONFIGURE}


def test_no_gpus_no_verdicts():
    assert verdicts([], [_finding(HOST, Remedy.HARDWARE)]) == {}


@given(FINDINGS, FINDINGS)
def test_more_findings_never_improve_a_verdict(some, more):
    before, after = verdicts(GPUS, some), verdicts(GPUS, some + more)
    for address in (A, B, C):
        assert ORDER.index(after[address]) >= ORDER.index(before[address])


@given(st.permutations([_finding(s, r) for s in (HOST, A) for r in Remedy]))
def test_the_order_of_findings_does_not_matter(findings):
    assert verdicts(GPUS, findings) == verdicts(GPUS, sorted(findings, key=repr))


def test_an_audit_reads_its_sources(tree, tmp_path):
    """The operator's link groups apply to a tree; an inventory keeps them, but not its verdicts."""
    group = f"nvl0={CARD},0000:21:00.0"
    root = tree(L40S)
    inventory = audit.audit(audit.AuditSources(root=root, host="compute-1", link_groups=[group]))
    assert inventory.host == "compute-1"
    assert finding(inventory, "fabric.group").found.startswith("nvl0: 2 GPUs")
    assert set(inventory.verdicts.values()) == {READY}
    path = tmp_path / "inventory.yaml"
    path.write_text(store.dump(dataclasses.replace(inventory, verdicts=None), "test"))
    again = audit.audit(audit.AuditSources(inventory=path))
    assert (again.gpus, again.verdicts) == (inventory.gpus, inventory.verdicts)
    assert ids(again, Severity.OK) == ids(inventory, Severity.OK)
