# SPDX-License-Identifier: Apache-2.0
"""Reading the whole cloud, with a real Placement and fakes of Nova and Keystone."""

import uuid

import pytest
from openstack import exceptions

from nova_gpu_passthrough.cloud.view import read
from nova_gpu_passthrough.cloud.view.model import CellUse, DeviceState
from nova_gpu_passthrough.fleet.model import HostGroup, Mode
from tests.unit.cloud import clouds
from tests.unit.generate import builders

GPUS = tuple(f"0000:{bus:02x}:00.0" for bus in range(0x20, 0x28))
CLASS = "CUSTOM_GPU_H100_SXM"


@pytest.fixture
def hgx():
    return clouds.fleet(builders.hgx("hgx1"))


@pytest.fixture
def two():
    return clouds.fleet(builders.hgx("hgx1"), builders.hgx("hgx2"))


def flavor(cloud, gpus=1, vcpus=2, ram=1024, **extra_specs):
    specs = {"pci_passthrough__alias": f"h100-sxm:{gpus}"} if gpus else {}
    return cloud.nova.add_flavor(f"gpu.{gpus}", vcpus, ram, **specs, **extra_specs)


def states(host):
    return {device.address: device.state for device in host.devices}


def only(items):
    (item,) = items
    return item


def test_an_empty_cloud(cloud):
    view = read.read(cloud.connection())
    assert view.hosts == view.flavors == view.servers_without_host == view.notes == ()
    assert view.taken_at.endswith("Z")


def test_what_the_filters_of_the_scheduler_decide_by(cloud, hgx):
    clouds.run_computes(cloud, hgx)
    cloud.nova.hypervisors[0] |= {
        "hypervisor_type": "QEMU",
        "hypervisor_version": 8002002,
        "host_ip": "192.0.2.1",
        "cpu_info": {"arch": "x86_64"},
        "vcpus": 64,
    }
    for number, hosts in enumerate((["hgx1"], ["elsewhere"])):
        cloud.nova.aggregates[str(number)] = {
            "id": number,
            "name": f"a{number}",
            "hosts": hosts,
            "metadata": {"k": str(number)},
        }
    view = read.read(cloud.connection())
    host = only(view.hosts)
    assert host.compute_host == "hgx1"
    assert host.attributes == {
        "host": "hgx1",
        "nodename": "hgx1",
        "hypervisor_hostname": "hgx1",
        "hypervisor_type": "QEMU",
        "hypervisor_version": 8002002,
        "host_ip": "192.0.2.1",
        "cpu_info": {"arch": "x86_64"},
    }
    assert host.aggregates == {"a0": {"k": "0"}}
    assert view.aggregates == {"a0": {"k": "0"}, "a1": {"k": "1"}}


def test_free_gpus_are_known_from_placement_alone(cloud, hgx):
    providers = clouds.run_computes(cloud, hgx)
    host = only(read.read(cloud.connection()).hosts)
    assert (host.up, host.enabled, host.known, host.group) == (True, True, True, None)
    assert host.provider == providers["hgx1", ""]
    assert host.numa == ()
    assert [gpu.address for gpu in host.gpus] == list(GPUS)
    first = host.gpus[0]
    assert (first.model, first.numa_node, first.link_group) == ("H100-SXM", 0, ("nvs0",))
    assert (first.resource_class, first.state) == (CLASS, DeviceState.FREE)
    assert (first.resource.total, first.resource.free) == (1, 1)
    assert "COMPUTE_MANAGED_PCI_DEVICE" in first.traits


def test_a_fleet_adds_topology(cloud, hgx):
    clouds.run_computes(cloud, hgx)
    host = read.read(cloud.connection(), hgx).hosts[0]
    first = host.gpus[0]
    assert first.link_group == ("nvs0", "q0", "p0")
    assert (first.switch, first.card) == ("0000:10:00.0", "0000:20:00")
    assert host.group == "gpus"
    assert [cell.id for cell in host.numa] == [0, 1]
    assert [len(cell.free_pinned) for cell in host.numa] == [14 - 2, 14 - 2]


def test_a_fleet_adds_failure_domains(cloud):
    inventories = [builders.hgx("hgx1"), builders.hgx("hgx2")]
    fleet = clouds.fleet(*inventories, domains={"hgx2": {"rack": "r1", "room": "a"}})
    clouds.run_computes(cloud, fleet)
    hosts = read.read(cloud.connection(), fleet).hosts
    assert [host.domains for host in hosts] == [{}, {"rack": "r1", "room": "a"}]


def test_a_cloud_with_the_generated_configuration_has_no_notes(cloud, hgx):
    clouds.run_computes(cloud, hgx)
    assert read.read(cloud.connection(), hgx).notes == ()


def test_gpus_in_use_name_their_server(cloud, two):
    providers = clouds.run_computes(cloud, two)
    pair = flavor(cloud, 2)
    server = clouds.boot(cloud, providers, "hgx1", GPUS[:2], pair)
    view = read.read(cloud.connection(), two)
    one, other = view.hosts
    assert list(states(one).values()) == [DeviceState.IN_USE] * 2 + [DeviceState.FREE] * 6
    assert one.gpus[0].consumers == one.gpus[1].consumers == (server["id"],)
    assert one.gpus[0].note == ""
    assert set(states(other).values()) == {DeviceState.FREE}
    assert only(one.servers).flavor == "gpu.2"
    assert (one.resources["VCPU"].used, one.resources["MEMORY_MB"].used) == (2, 1024)


def test_guests_use_cpus_and_memory_of_their_nodes(cloud, hgx):
    providers = clouds.run_computes(cloud, hgx)
    numa = flavor(cloud, vcpus=4, ram=2048, hw__cpu_policy="dedicated", hw__numa_nodes=1)
    empty = read.read(cloud.connection(), hgx).hosts[0]
    pinned = sorted(empty.numa[1].free_pinned)[:4]
    cell = {
        "vcpu_set": [0, 1, 2, 3],
        "memory_mb": 2048,
        "host_node": 1,
        "cpu_pinning": {str(vcpu): cpu for vcpu, cpu in enumerate(pinned)},
        "siblings": [],
    }
    clouds.boot(cloud, providers, "hgx1", GPUS[4:5], numa, cells=[cell])
    host = read.read(cloud.connection(), hgx).hosts[0]
    assert only(host.servers).cells == (CellUse(1, 2048, 4, frozenset(pinned)),)
    assert host.numa[0] == empty.numa[0]
    assert host.numa[1].free_pinned == empty.numa[1].free_pinned - set(pinned)
    before, after = (cell.as_numa_cell() for cell in (empty.numa[1], host.numa[1]))
    assert after.free_memory_mib == before.free_memory_mib - 2048


def test_a_server_on_a_volume_may_have_numa_nodes_by_its_image(cloud, hgx):
    providers = clouds.run_computes(cloud, hgx)
    cell = {"vcpu_set": [0], "memory_mb": 512, "host_node": 0, "cpu_pinning": {}}
    clouds.boot(cloud, providers, "hgx1", (), flavor(cloud, 0), cells=[cell], image="")
    clouds.boot(cloud, providers, "hgx1", (), flavor(cloud, 0), cells=[cell])
    from_volume, from_image = only(read.read(cloud.connection(), hgx).hosts).servers
    assert from_volume.cells == (CellUse(0, 512, 1),)
    assert from_volume.image_properties is None
    assert from_image.cells == ()


def test_reserved_devices_have_a_reason(cloud, hgx):
    providers = clouds.run_computes(cloud, hgx)
    reserved = {CLASS: {"total": 1, "max_unit": 1, "reserved": 1}}
    for address in GPUS[:2]:
        cloud.placement.set_inventories(providers["hgx1", address], reserved)
    traits = cloud.placement.call("GET", f"/resource_providers/{providers['hgx1', GPUS[1]]}/traits")
    once = [*traits["traits"], "HW_PCI_ONE_TIME_USE"]
    cloud.placement.set_traits(providers["hgx1", GPUS[1]], once)
    by_hand, uncleaned = read.read(cloud.connection(), hgx).hosts[0].gpus[:2]
    assert by_hand.state is uncleaned.state is DeviceState.RESERVED
    assert by_hand.note.startswith("reserved by hand")
    assert "clean it" in uncleaned.note
    assert providers["hgx1", GPUS[1]] in uncleaned.note
    assert (uncleaned.resource.total, uncleaned.resource.reserved) == (1, 1)


def test_a_one_time_use_device_in_use_is_in_use(cloud, hgx):
    providers = clouds.run_computes(cloud, hgx)
    clouds.boot(cloud, providers, "hgx1", GPUS[:1], flavor(cloud))
    inventory = {CLASS: {"total": 1, "max_unit": 1, "reserved": 1}}
    cloud.placement.set_inventories(providers["hgx1", GPUS[0]], inventory)
    first = read.read(cloud.connection(), hgx).hosts[0].gpus[0]
    assert (first.state, first.note) == (DeviceState.IN_USE, "")


def test_devices_of_an_unknown_consumer_are_stuck(cloud, hgx):
    providers = clouds.run_computes(cloud, hgx)
    unknown = str(uuid.uuid4())
    clouds.allocate(cloud, providers, "hgx1", GPUS[:1], unknown)
    first = read.read(cloud.connection(), hgx).hosts[0].gpus[0]
    assert (first.state, first.consumers) == (DeviceState.STUCK, (unknown,))
    assert f"{unknown}, a server that no longer exists" in first.note


def test_devices_of_a_server_on_another_host_are_stuck(cloud, two):
    providers = clouds.run_computes(cloud, two)
    server = cloud.nova.add_server("evacuated", "hgx2", flavor(cloud))
    clouds.allocate(cloud, providers, "hgx1", GPUS[:1], server["id"])
    first = read.read(cloud.connection(), two).hosts[0].gpus[0]
    assert first.state is DeviceState.STUCK
    assert "server evacuated" in first.note
    assert "is on hgx2 (ACTIVE)" in first.note


@pytest.mark.parametrize(
    "server",
    [{"status": "RESIZE"}, {"status": "VERIFY_RESIZE"}, {"OS-EXT-STS:task_state": "migrating"}],
)
def test_devices_of_a_server_that_is_being_moved_are_in_use(cloud, two, server):
    providers = clouds.run_computes(cloud, two)
    moving = cloud.nova.add_server("moving", "hgx2", flavor(cloud), **server)
    clouds.allocate(cloud, providers, "hgx1", GPUS[:1], moving["id"])
    view = read.read(cloud.connection(), two)
    assert view.hosts[0].gpus[0].state is DeviceState.IN_USE
    assert only(view.notes).startswith("hgx1: servers that are being moved to or from it use CPUs")


@pytest.mark.parametrize(
    ("status", "state", "word"),
    [
        ("finished", DeviceState.IN_USE, "allocated for server moved until"),
        ("confirmed", DeviceState.STUCK, "has ended"),
    ],
)
def test_devices_of_a_migration(cloud, two, status, state, word):
    providers = clouds.run_computes(cloud, two)
    moved = cloud.nova.add_server("moved", "hgx2", flavor(cloud), status="VERIFY_RESIZE")
    clouds.allocate(cloud, providers, "hgx2", GPUS[:1], moved["id"])
    move = str(uuid.uuid4())
    cloud.nova.migrations.append(
        {
            "uuid": move,
            "instance_uuid": moved["id"],
            "status": status,
            "source_compute": "hgx1",
            "dest_compute": "hgx2",
        }
    )
    clouds.allocate(cloud, providers, "hgx1", GPUS[:1], move, kind="MIGRATION")
    first = read.read(cloud.connection(), two).hosts[0].gpus[0]
    assert first.state is state
    assert word in first.note


def test_a_server_with_more_devices_than_it_requested(cloud, hgx):
    providers = clouds.run_computes(cloud, hgx)
    clouds.boot(cloud, providers, "hgx1", GPUS[:2], flavor(cloud, 1), name="moved")
    first = read.read(cloud.connection(), hgx).hosts[0].gpus[0]
    assert first.state is DeviceState.IN_USE
    assert (
        "server moved has 2 devices of this host allocated and its flavor requests 1" in first.note
    )


def test_a_device_that_was_freed_while_the_cloud_was_read_is_not_stuck(cloud, hgx):
    providers = clouds.run_computes(cloud, hgx)
    server = clouds.boot(cloud, providers, "hgx1", GPUS[:1], flavor(cloud))
    # Nova has deleted it, and its allocations are deleted right after.
    del cloud.nova.servers[server["id"]]
    consumer = rf"GET /placement/allocations/{server['id']}"
    cloud.fail(consumer, 200, {"allocations": {}})
    first = read.read(cloud.connection(), hgx).hosts[0].gpus[0]
    assert first.state is DeviceState.IN_USE
    assert first.consumers == ()


def test_a_device_that_only_the_inventory_has_is_missing(cloud, hgx):
    providers = clouds.run_computes(cloud, hgx)
    cloud.placement.call("DELETE", f"/resource_providers/{providers['hgx1', GPUS[3]]}")
    host = read.read(cloud.connection(), hgx).hosts[0]
    gone = host.gpus[3]
    assert (gone.address, gone.state, gone.provider) == (GPUS[3], DeviceState.MISSING, None)
    assert (gone.model, gone.resource_class, gone.numa_node) == ("H100-SXM", CLASS, 0)
    assert "device_spec" in gone.note


def test_a_provider_without_traits_is_there_and_what_it_lacks_is_said(cloud, hgx):
    providers = clouds.run_computes(cloud, hgx)
    for address in GPUS[:2]:
        cloud.placement.set_traits(providers["hgx1", address], [])
    server = clouds.boot(cloud, providers, "hgx1", GPUS[1:2], flavor(cloud))
    host = only(read.read(cloud.connection(), hgx).hosts)
    assert [gpu.state for gpu in host.gpus[:3]] == [
        DeviceState.FREE,
        DeviceState.IN_USE,
        DeviceState.FREE,
    ]
    assert [gpu.provider for gpu in host.gpus[:2]] == [providers["hgx1", a] for a in GPUS[:2]]
    assert host.gpus[1].consumers == (server["id"],)
    assert [sorted(gpu.lacking_traits) for gpu in host.gpus[:3]] == [
        ["COMPUTE_MANAGED_PCI_DEVICE"],
        ["COMPUTE_MANAGED_PCI_DEVICE"],
        [],
    ]
    assert host.gpus[0].note == (
        "its resource provider lacks the trait COMPUTE_MANAGED_PCI_DEVICE, which nova-compute sets "
        "every few minutes: check on hgx1 that it runs, and its log"
    )
    assert host.gpus[2].note == ""


def test_no_server_gets_a_device_that_nova_34_does_not_own(cloud, hgx):
    providers = clouds.run_computes(cloud, hgx)
    for (_, address), provider in providers.items():
        kept = ["OWNER_NOVA"] if address not in GPUS[:2] else []
        managed = ["COMPUTE_MANAGED_PCI_DEVICE"] if address not in ("", GPUS[0]) else []
        cloud.placement.set_traits(provider, [*kept, *managed])
    server = clouds.boot(cloud, providers, "hgx1", GPUS[1:2], flavor(cloud))
    host = only(read.read(cloud.connection(), hgx).hosts)
    assert [gpu.state for gpu in host.gpus[:3]] == [
        DeviceState.MISSING,
        DeviceState.IN_USE,
        DeviceState.FREE,
    ]
    assert host.gpus[0].provider == providers["hgx1", GPUS[0]]
    assert host.gpus[0].note == (
        "its resource provider lacks the traits COMPUTE_MANAGED_PCI_DEVICE and OWNER_NOVA, which "
        "nova-compute sets every few minutes: check on hgx1 that it runs, and its log; no server "
        "gets it before"
    )
    assert host.gpus[1].consumers == (server["id"],)
    assert "lacks the trait OWNER_NOVA" in host.gpus[1].note


def test_without_pci_in_placement_all_devices_are_missing(cloud, two):
    root = cloud.placement.add_host("hgx1")
    cloud.nova.add_compute("hgx1", root)
    view = read.read(cloud.connection(), two)
    one, other = view.hosts
    assert set(states(one).values()) == {DeviceState.MISSING}
    assert "report_in_placement" in one.gpus[0].note
    assert (one.known, other.known) == (True, False)
    assert other.provider is None
    assert any(note.startswith("hgx2: Nova has no compute node") for note in view.notes)


def test_a_compute_node_without_provider_is_noted(cloud, hgx):
    clouds.run_computes(cloud, hgx)
    cloud.nova.hypervisors.pop()
    view = read.read(cloud.connection(), hgx)
    assert only(view.hosts).provider is None
    assert any("hgx1: Placement has no resource provider" in note for note in view.notes)


def test_providers_of_a_deleted_compute_node(cloud, hgx):
    clouds.run_computes(cloud, hgx)
    cloud.nova.services.clear()
    cloud.nova.hypervisors.clear()
    view = read.read(cloud.connection())
    assert [host.name for host in view.hosts] == ["hgx1"]
    assert not any(host.known or host.up for host in view.hosts)


def test_down_and_disabled_hosts(cloud, two):
    clouds.run_computes(cloud, two)
    cloud.nova.services[0] |= {"state": "down"}
    cloud.nova.services[1] |= {"status": "disabled", "disabled_reason": "being fixed"}
    one, other = read.read(cloud.connection()).hosts
    assert (one.up, one.enabled) == (False, True)
    assert (other.up, other.enabled, other.disabled_reason) == (True, False, "being fixed")


def test_aggregates_and_zones(cloud, two):
    clouds.run_computes(cloud, two)
    cloud.nova.aggregates["1"] = {
        "id": 1,
        "name": "gpu-h100",
        "hosts": ["hgx1"],
        "metadata": {"gpu": "true"},
    }
    one, other = read.read(cloud.connection()).hosts
    assert one.aggregates == {"gpu-h100": {"gpu": "true"}}
    assert other.aggregates == {}
    assert one.availability_zone == "nova"


def test_a_host_that_nova_and_libvirt_name_differently(cloud):
    resolved = clouds.fleet(builders.hgx("hgx1.example.org"))
    clouds.run_computes(cloud, resolved)
    cloud.nova.services[0]["host"] = "hgx1"
    cloud.nova.hypervisors[0]["service"]["host"] = "hgx1"
    host = only(read.read(cloud.connection(), resolved).hosts)
    assert host.name == "hgx1.example.org"
    assert set(states(host).values()) == {DeviceState.FREE}


def test_companions_and_nics_are_not_gpus(cloud):
    resolved = clouds.fleet(builders.l40s("l40s1", count=2))
    clouds.run_computes(cloud, resolved)
    for fleet in (None, resolved):
        host = only(read.read(cloud.connection(), fleet).hosts)
        assert [device.model for device in host.devices] == ["L40S", None, "L40S", None]
        assert len(host.gpus) == 2


def test_hosts_without_gpus_are_left_out(cloud):
    root = cloud.placement.add_host("nvme1")
    cloud.nova.add_compute("nvme1", root)
    cloud.placement.add_device(root, "nvme1_0000:01:00.0", "CUSTOM_NVME")
    assert read.read(cloud.connection()).hosts == ()
    assert not cloud.requested("allocation_candidates")


def test_devices_of_other_services_are_not_novas(cloud):
    root = cloud.placement.add_host("gpu1", traits=["OWNER_NOVA"])
    cloud.nova.add_compute("gpu1", root)
    traits = ["CUSTOM_GPU_MODEL_H100_SXM"]
    for bus, owner in (("51", ["OWNER_NOVA"]), ("52", [])):
        name = f"gpu1_0000:{bus}:00.0"
        cloud.placement.add_device(root, name, "CUSTOM_GPU_H100", [*traits, *owner])
    host = only(read.read(cloud.connection()).hosts)
    assert [device.address for device in host.devices] == ["0000:51:00.0"]


def test_gpus_without_traits_are_identified_by_the_class_that_nova_derived(cloud):
    root = cloud.placement.add_host("gpu1")
    cloud.nova.add_compute("gpu1", root)
    cloud.placement.add_device(root, "gpu1_0000:01:00.0", "CUSTOM_PCI_10DE_2330")
    cloud.placement.add_device(root, "gpu1_0000:02:00.0", "CUSTOM_PCI_8086_1563")
    host = only(read.read(cloud.connection()).hosts)
    assert [device.model for device in host.devices] == ["H100-SXM", None]


def test_vfs_of_one_pf_are_one_device_with_several_units(cloud):
    resolved = clouds.fleet(builders.with_vfs("vf1"))
    root = cloud.placement.add_host("vf1")
    cloud.nova.add_compute("vf1", root)
    name = "CUSTOM_GPU_MI300X_VF"
    traits = ["CUSTOM_GPU_MODEL_MI300X_VF", "CUSTOM_GPU_NUMA_0"]
    key = cloud.placement.add_device(root, "vf1_0000:51:00.0", name, traits, total=2)
    flavor_ = cloud.nova.add_flavor("vf", pci_passthrough__alias="mi300x-vf:1")
    server = cloud.nova.add_server("one", "vf1", flavor_)
    cloud.placement.allocate(server["id"], {key: {name: 1}, root: {"MEMORY_MB": 1}})
    device = only(only(read.read(cloud.connection(), resolved).hosts).devices)
    assert (device.address, device.model) == ("0000:51:00.0", "MI300X-VF")
    assert device.state is DeviceState.FREE
    assert (device.resource.total, device.resource.used, device.resource.free) == (2, 1, 1)
    assert device.link_group == ()


def test_a_full_host(cloud, hgx):
    """Placement then returns no candidates, and every provider is read."""
    providers = clouds.run_computes(cloud, hgx)
    root = providers["hgx1", ""]
    inventories = cloud.placement.call("GET", f"/resource_providers/{root}/inventories")
    everything = {
        name: int((entry["total"] - entry["reserved"]) * entry["allocation_ratio"])
        for name, entry in inventories["inventories"].items()
    }
    server = cloud.nova.add_server("big", "hgx1", flavor(cloud, 8))
    cloud.placement.allocate(
        server["id"], {root: everything, **{providers["hgx1", a]: {CLASS: 1} for a in GPUS}}
    )
    host = read.read(cloud.connection(), hgx).hosts[0]
    assert set(states(host).values()) == {DeviceState.IN_USE}
    assert {resource.free for resource in host.resources.values()} == {0}
    assert all(gpu.traits for gpu in host.gpus)


def test_fleets_with_vgpus_have_no_missing_devices(cloud):
    group = HostGroup("vgpus", ("*.yaml",), Mode.VGPU)
    resolved = clouds.fleet(builders.l40s("l40s1", count=2), group=group)
    root = cloud.placement.add_host("l40s1")
    cloud.nova.add_compute("l40s1", root)
    inventory = {"VGPU": {"total": 4, "max_unit": 1}}
    cloud.placement.add_provider("l40s1_pci_0000_41_00_0", inventory, parent=root)
    host = only(read.read(cloud.connection(), resolved).hosts)
    device = only(host.devices)
    assert (device.address, device.model, device.resource_class) == ("0000:41:00.0", "L40S", "VGPU")
    assert (device.resource.total, device.state) == (4, DeviceState.FREE)


def test_flavors_with_access(cloud):
    cloud.nova.add_flavor("b", 2, 2048, 10, hw__numa_nodes=1)
    cloud.nova.add_flavor("a", public=False, access=["p2", "p1"])
    a, b = read.read(cloud.connection()).flavors
    assert (a.name, a.public, a.projects) == ("a", False, ("p1", "p2"))
    assert (b.vcpus, b.ram_mib, b.disk_gib, b.projects) == (2, 2048, 10, None)
    assert b.extra_specs == {"hw:numa_nodes": "1"}


def test_servers_without_host(cloud, hgx):
    clouds.run_computes(cloud, hgx)
    failed = cloud.nova.add_server("failed", None, flavor(cloud), status="ERROR")
    cloud.nova.add_server("failed-there", "hgx1", flavor(cloud), status="ERROR")
    new = cloud.nova.add_server("new", None, flavor(cloud), status="BUILD")
    view = read.read(cloud.connection())
    assert {server.id for server in view.servers_without_host} == {failed["id"], new["id"]}


def test_without_servers_allocations_are_not_checked(cloud, hgx):
    providers = clouds.run_computes(cloud, hgx)
    clouds.allocate(cloud, providers, "hgx1", GPUS[:1], str(uuid.uuid4()))
    view = read.read(cloud.connection(), hgx, with_servers=False)
    assert view.hosts[0].gpus[0].state is DeviceState.IN_USE
    assert not cloud.requested("/servers")


def test_a_nova_conf_that_differs_from_the_generated_one_is_noted(cloud, hgx):
    clouds.run_computes(cloud, hgx, pcpus=4, memory=100_000)
    notes = read.read(cloud.connection(), hgx).notes
    assert any(note.startswith("hgx1: 4 PCPU in Placement, 24 by inventory") for note in notes)
    assert any("hgx1: 100000 MiB of memory in Placement" in note for note in notes)


def test_isolated_emulator_threads_are_noted(cloud, hgx):
    providers = clouds.run_computes(cloud, hgx)
    isolated = flavor(cloud, hw__emulator_threads_policy="isolate", hw__cpu_policy="dedicated")
    clouds.boot(cloud, providers, "hgx1", GPUS[:1], isolated)
    (note,) = read.read(cloud.connection(), hgx).notes
    assert note.startswith("hgx1: servers with hw:emulator_threads_policy=isolate")


@pytest.mark.parametrize(("hosts", "gpus"), [(1, 8), (3, 2)])
def test_the_number_of_requests(cloud, hosts, gpus):
    """A dozen for the cloud, three for each host, one for each server with devices."""
    inventories = [builders.hgx(f"hgx{number}") for number in range(hosts)]
    resolved = clouds.fleet(*inventories)
    providers = clouds.run_computes(cloud, resolved)
    for number in range(hosts):
        clouds.boot(cloud, providers, f"hgx{number}", GPUS[:gpus], flavor(cloud, gpus))
    read.read(cloud.connection(), resolved)
    assert len(cloud.requested()) <= 12 + 4 * hosts


def test_errors_of_nova_are_raised(cloud, hgx):
    clouds.run_computes(cloud, hgx)
    cloud.fail("GET .*os-hypervisors", 403, {"forbidden": {"code": 403, "message": "no"}})
    with pytest.raises(exceptions.ForbiddenException):
        read.read(cloud.connection())


def test_progress_is_reported(cloud, two):
    clouds.run_computes(cloud, two)
    calls = []
    read.read(cloud.connection(), two, progress=lambda *call: calls.append(call))
    assert ("compute nodes in Placement", 2, 2) in calls
