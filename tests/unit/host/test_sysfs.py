# SPDX-License-Identifier: Apache-2.0
"""A synthetic server is read as it was written."""

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings

from nova_gpu_passthrough.host import sysfs
from nova_gpu_passthrough.host.root import Root
from nova_gpu_passthrough.inventory.host import IommuKind, ModuleState
from nova_gpu_passthrough.inventory.pci import COMPANIONS, DeviceType, Role
from tests.trees import defects, write
from tests.trees.groups import iommu_groups
from tests.trees.many import many
from tests.trees.pci import cpu_list
from tests.trees.resources import assign
from tests.unit.audited import HGX, L40S, MACHINES, MI300X, read, smaller
from tests.unit.trees.strategies import machines

KINDS = {"dmar": IommuKind.INTEL, "ivhd": IommuKind.AMD, "smmu3": IommuKind.SMMU, None: None}
WITH_VFS = defects.virtual_functions(HGX, "0000:18:00.0", 12)
ALL = {**MACHINES, "vfs": WITH_VFS}


def _hex(number):
    return f"{number:04x}"


def _bars(rows):
    return [
        (index, row.end - row.start + 1, bool(row.flags & 0x2000), row.assigned and row.start > 0)
        for index, row in enumerate(rows[:13])
        if row.flags & 0x200 and index != 6 and row.end > row.start
    ]


def _compare(machine, facts, full_config):
    """Check that the facts contain exactly the functions of the machine."""
    locations = {location.device.address: location for location in machine.locations()}
    groups, rows = iommu_groups(machine), assign(machine)
    assert [device.address for device in facts.devices] == sorted(locations)
    for device in facts.devices:
        location = locations[device.address]
        model = location.device
        parents = [parent.address for parent in location.parents]
        if model.physfn:
            # A virtual function has the directory of its physical function's bus.
            parents = [parent.address for parent in locations[model.physfn].parents]
        assert device.class_code == f"{model.class_code:06x}"
        assert (device.vendor_id, device.product_id) == (_hex(model.vendor), _hex(model.device))
        assert (device.subsystem_vendor_id, device.subsystem_product_id) == tuple(
            map(_hex, model.subsystem)
        )
        assert device.numa_node == (None if location.numa_node == -1 else location.numa_node)
        assert device.iommu_group == groups.get(device.address)
        assert device.driver == model.driver
        assert device.driver_override == model.driver_override
        assert device.bridges == tuple(reversed(parents))
        assert device.boot_vga == (model.is_vga and model.boot_vga)
        assert device.physical_function == model.physfn
        assert device.sriov_total_vfs == (model.sriov.total if model.sriov else None)
        assert device.sriov_vfs == (model.sriov.enabled if model.sriov else 0)
        _compare_link(device, model, location)
        if device.role is Role.BRIDGE:
            assert (device.acs is not None) == (full_config and model.acs)
        if device.role is Role.GPU or device.role in COMPANIONS:
            assert device.reset_methods == model.reset_methods
            assert device.power_state == model.power_state
            assert device.d3cold_allowed == model.d3cold_allowed
            assert [
                (bar.index, bar.size, bar.prefetchable, bar.assigned) for bar in device.bars
            ] == _bars(rows[device.address])
            watts = location.parents[0].slot_watts if location.parents else 0
            assert device.slot_power_watts == (full_config and watts or None)


def _compare_link(device, model, location):
    if device.role is Role.BRIDGE:
        assert device.link is None
        return
    assert (device.link is None) == (model.link is None)
    if model.link is None:
        return
    assert (device.link.speed_gts, device.link.width) == (model.link.speed, model.link.width)
    assert device.link.max_speed_gts == model.link.max_speed
    assert device.link.max_width == model.link.max_width
    slot = location.parents[0].link if location.parents else None
    assert device.link.slot_max_speed_gts == (slot.max_speed if slot else None)
    assert device.link.slot_max_width == (slot.max_width if slot else None)


@pytest.mark.parametrize("full_config", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_every_function_is_read_as_written(tree, name, full_config):
    machine = ALL[name]
    root = Root(tree(machine, full_config))
    facts = sysfs.read(root)
    assert not root.findings()
    _compare(machine, facts, full_config)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(machine=machines())
def test_any_machine_is_read_as_written(folder, machine):
    root = Root(write(machine, folder / str(len(list(folder.iterdir()))), True))
    facts = sysfs.read(root)
    assert not root.findings()
    _compare(machine, facts, True)


@pytest.mark.parametrize("name", ALL)
def test_the_host_is_read_as_written(tree, name):
    machine = ALL[name]
    facts = read(tree(machine))
    assert facts.source == "sysfs"
    assert facts.machine.vendor == dict(machine.dmi)["sys_vendor"]
    assert facts.machine.product == dict(machine.dmi)["product_name"]
    assert facts.machine.os_id == machine.os.id
    assert facts.machine.os_version == machine.os.version_id
    assert facts.machine.os_like == tuple(machine.os.id_like.split())
    assert facts.cpu.vendor == machine.processor.vendor
    on_arm = machine.processor.vendor == "arm"
    assert facts.cpu.physical_address_bits == (None if on_arm else machine.processor.physical_bits)
    assert facts.kernel.release == machine.kernel
    assert facts.kernel.command_line.endswith(machine.command_line)
    assert facts.kernel.lockdown == machine.lockdown
    assert facts.kernel.secure_boot == machine.secure_boot
    for module, state in (facts.kernel.modules or {}).items():
        assert (state is ModuleState.LOADED) == (module in machine.modules)
    assert facts.iommu.kind == KINDS[machine.iommu]
    assert facts.iommu.firmware_table == machine.iommu_table
    assert facts.iommu.groups == len(set(iommu_groups(machine).values()))
    assert facts.iommu.interrupt_remapping == (None if on_arm else machine.interrupt_remapping)
    assert facts.iommu.unsafe_interrupts == (
        False if "vfio_iommu_type1" in machine.modules else None
    )


@pytest.mark.parametrize("name", ALL)
def test_numa_nodes_are_read_as_written(tree, name):
    machine = ALL[name]
    facts = read(tree(machine))
    assert [node.id for node in facts.numa_nodes] == [node.id for node in machine.nodes]
    for node, model in zip(facts.numa_nodes, machine.nodes, strict=True):
        assert node.cpus == cpu_list(model.cpus)
        assert node.memory_mib == model.memory_mib
        assert node.distances == model.distances
        assert node.socket == node.id * machine.processor.sockets // len(machine.nodes)
        assert len(node.cores) * machine.processor.threads_per_core == len(model.cpus)
        assert sorted(int(cpu) for core in node.cores for cpu in core.split(",")) == sorted(
            model.cpus
        )
        assert [(pool.size_kib, pool.total, pool.free) for pool in node.huge_pages] == sorted(
            (pool.size_kib, pool.total, pool.free) for pool in model.pools
        )


@pytest.mark.parametrize("name", ALL)
def test_gpus_are_found(tree, name):
    machine = ALL[name]
    facts = read(tree(machine))
    physical = [gpu.address for gpu in machine.gpus()]
    virtual = [device.address for device in machine.devices().values() if device.physfn]
    assert [gpu.address for gpu in facts.gpus] == sorted(physical + virtual)
    assert {gpu.model_source for gpu in facts.gpus} == {"catalogue"}
    assert not any(device.role is Role.DISPLAY and device.vendor_id == "10de"
                   for device in facts.devices)  # fmt: skip


def test_gpus_of_a_board_with_nics(tree):
    facts = read(tree(HGX))
    assert {gpu.model for gpu in facts.gpus} == {"H100-SXM"}
    # Behind each GPU's switch is also a NIC.
    assert [gpu.switch for gpu in facts.gpus] == [
        f"0000:{bus}:00.0" for bus in ("16", "27", "38", "5a", "98", "a8", "b8", "d8")
    ]
    assert [facts.device(gpu).numa_node for gpu in facts.gpus] == [0] * 4 + [1] * 4
    assert sum(device.role is Role.NVSWITCH for device in facts.devices) == 4
    assert {facts.device(gpu).device_type for gpu in facts.gpus} == {DeviceType.PF}
    assert all(not gpu.companions for gpu in facts.gpus)


def test_gpus_with_sensors(tree):
    facts = read(tree(MACHINES["mi300x"]))
    assert {facts.device(gpu).power_watts for gpu in facts.gpus} == {125}
    assert {facts.device(gpu).power_cap_watts for gpu in facts.gpus} == {750}
    facts = read(tree(MI300X))
    assert {facts.device(gpu).power_watts for gpu in facts.gpus} == {None}


def test_gpus_with_companions(tree):
    facts = read(tree(L40S))
    for gpu in facts.gpus:
        assert gpu.companions == (f"{gpu.card}.1",)
        (audio,) = facts.companions(gpu)
        assert audio.role is Role.AUDIO
        assert facts.iommu_groups[audio.iommu_group] == (facts.device(gpu), audio)


def test_cards_below_one_switch_share_it(folder):
    facts = read(write(smaller(many(16, 64)), folder / "tree"))
    assert {gpu.switch for gpu in facts.gpus} == {"0000:01:00.0", "0001:01:00.0"}


def test_256_functions_with_64_gpus(folder):
    facts = read(write(many(64, 256), folder / "tree"))
    assert len(facts.devices) == 256
    assert len(facts.gpus) == 64
    assert len({facts.device(gpu).iommu_group for gpu in facts.gpus}) == 64


def test_virtual_functions_and_their_parent(tree):
    facts = read(tree(WITH_VFS))
    virtual = [d for d in facts.devices if d.device_type is DeviceType.VF]
    assert len(virtual) == 12
    assert {device.physical_function for device in virtual} == {"0000:18:00.0"}
    parent = facts.by_address["0000:18:00.0"]
    assert (parent.sriov_total_vfs, parent.sriov_vfs) == (16, 12)


def test_the_operator_names_models(tree):
    root = Root(tree(L40S))
    facts = sysfs.read(root, model_names={"10de:26b9": "mine", "144d:a80a": "a-disk"})
    assert [gpu.model for gpu in facts.gpus] == ["mine"] * 4 + ["a-disk"]


def test_names_come_from_the_newest_pci_ids(folder):
    tree = write(L40S, folder / "tree")
    old, new = tree / "usr/share/misc/pci.ids", tree / "usr/share/hwdata/pci.ids"
    new.parent.mkdir()
    old.write_text("# Version: 2023.04.11\n10de  NVIDIA\n\t26b9  old\n")
    new.write_text("# Version: 2026.06.20\n10de  NVIDIA\n\t26b9  new\n")
    facts = read(tree)
    assert {facts.device(gpu).name for gpu in facts.gpus} == {"new"}


def test_the_hosts_name(folder):
    tree = write(L40S, folder / "tree")
    assert read(tree).host == "tree"
    (tree / "etc/hostname").write_text("compute-7.example\n")
    assert read(tree).host == "compute-7.example"
    (tree / "proc/sys/kernel/hostname").write_text("compute-8\n")
    assert read(tree).host == "compute-8"
    assert sysfs.read(Root(tree), host="compute-9").host == "compute-9"


def test_a_tree_with_sys_alone_is_a_host_without_facts(folder):
    (folder / "sys").mkdir()
    root = Root(folder)
    facts = sysfs.read(root)
    assert facts.devices == facts.gpus == facts.numa_nodes == ()
    assert facts.kernel == dataclasses.replace(facts.kernel, release=None, secure_boot=None)
    assert facts.iommu.kind is None
    assert not root.findings()


def test_a_flat_recording_gets_its_bridges_from_bus_numbers(folder):
    tree = write(HGX, folder / "tree")
    nested = read(tree)
    devices = tree / "sys/bus/pci/devices"
    for link in list(devices.iterdir()):
        target = link.resolve()
        link.unlink()
        link.mkdir()
        for file in target.iterdir():
            if file.is_file() and not file.is_symlink():
                (link / file.name).write_bytes(file.read_bytes())
    flat = read(tree)
    assert len(flat.devices) == len(nested.devices)
    for device in nested.devices:
        assert flat.by_address[device.address].bridges == device.bridges
    assert flat.gpus == nested.gpus
