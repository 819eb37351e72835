# SPDX-License-Identifier: Apache-2.0
"""A DevStack with real GPUs: a single machine, a controller, a compute node, a stand-in."""

import importlib.util
import shutil

import pytest
import yaml

from nova_gpu_passthrough.fleet import derive_state, resolve
from nova_gpu_passthrough.fleet import store as fleets
from nova_gpu_passthrough.inventory import store as inventories
from tests import cache
from tests.trees import defects, write
from tests.unit.audited import HGX, L40S
from tests.unit.devstack.nova import loaded
from tests.unit.devstack.stack import PLUGIN, Stack

FLEET = cache.ROOT / "etc/fleet/one-group.yaml"
_COMPUTE = "n-cpu,q-agt,placement-client"
_CONTROLLER = "mysql,rabbit,key,g-api,placement-api,n-api,n-cond,n-sch,q-svc"


@pytest.fixture(scope="module")
def hgx(tmp_path_factory):
    return write(HGX, tmp_path_factory.mktemp("hgx") / "tree")


def desired_state(stack):
    """Return the desired state of the cloud for the fleet file that the plug-in wrote."""
    state, _ = derive_state.make(resolve.resolve(fleets.load(stack.made / "fleet.yaml")))
    return state


@pytest.fixture(scope="module")
def alone(hgx, tmp_path_factory):
    """All in one, after stack.sh."""
    made = Stack(tmp_path_factory.mktemp("stack"), tree=hgx)
    made.stack()
    return made


def test_the_machine_is_audited_under_its_name_in_nova(alone):
    inventory = inventories.load(alone.made / "inventories/devstack.yaml")
    assert (inventory.host, len(inventory.gpus)) == ("devstack", 8)


def test_options_of_nova_compute_are_in_nova_conf(alone):
    """DevStack copies it to nova-cpu.conf."""
    nova = loaded(alone.etc / "nova.conf")
    assert [spec["gpu_model"] for spec in nova.device_specs] == ["H100-SXM"] * 8
    assert nova.aliases == {"h100-sxm"}
    assert nova.options.pci.report_in_placement


def test_libvirt_takes_gpus_from_the_hosts_driver(alone):
    specs = loaded(alone.etc / "nova.conf").options.pci.device_spec
    assert all('"managed": "yes"' in spec for spec in specs)


def test_devstacks_own_driver_stays(alone):
    assert alone.calls("computes")[-1] == ["1", "driver", "libvirt"]
    assert not list(alone.units.iterdir())
    assert not alone.calls("pip_install")


def test_the_smoke_test_reads_domains_from_libvirt(alone):
    assert yaml.safe_load((alone.made / "smoke.yaml").read_text())["domains"] == "virsh"


def test_gpus_that_are_bound_at_boot_stay_with_vfio(hgx, tmp_path):
    stack = Stack(
        tmp_path,
        tree=hgx,
        GPU_PASSTHROUGH_MANAGED="False",
        GPU_PASSTHROUGH_EXCLUDE="0000:18:00.0 0000:2a:00.0",
        GPU_PASSTHROUGH_POLICY="spread",
        GPU_PASSTHROUGH_RESERVED_MB="4096",
    )
    stack.stack()
    nova = loaded(stack.etc / "nova.conf")
    specs = nova.options.pci.device_spec
    assert len(specs) == 6
    assert all('"managed": "no"' in spec for spec in specs)
    assert nova.options.gpu_passthrough.policy == "spread"
    assert nova.options.reserved_host_memory_mb == 4096


def test_without_a_project_variable_the_fleet_has_no_projects(hgx, tmp_path):
    stack = Stack(tmp_path, tree=hgx, GPU_PASSTHROUGH_PROJECT="")
    stack.run("stack post-config")
    assert "projects" not in yaml.safe_load((stack.made / "fleet.yaml").read_text())


def test_unified_limits_count_gpus(hgx, tmp_path):
    stack = Stack(tmp_path, tree=hgx, NOVA_USE_UNIFIED_LIMITS="True")
    stack.run("stack post-config")
    fleet = yaml.safe_load((stack.made / "fleet.yaml").read_text())
    assert fleet["quotas"]["driver"] == "unified-limits"
    assert fleet["projects"][0]["quotas"]["h100-sxm"] == 8
    assert fleet["flavors"] == [{"model": "H100-SXM", "disk_gib": 5}]


def test_unified_limits_leave_disk_for_a_server_of_each_gpu(hgx, tmp_path):
    stack = Stack(tmp_path, tree=hgx, NOVA_USE_UNIFIED_LIMITS="True")
    stack.run("stack post-config")
    state = desired_state(stack)
    limits = {limit.project: limit.value for limit in state.limits if "DISK" in limit.resource}
    (project,) = [one for one in limits if one]
    # 8 GPUs. DevStack registers 20 GiB for all other projects.
    assert limits == {None: 20, project: 8 * max(flavor.disk_gib for flavor in state.flavors)}
    assert project.name == "demo"


def test_disk_of_unified_limits_follows_the_flavors_of_a_fleet_file(tmp_path):
    fleet = tmp_path / "fleet/fleet.yaml"
    shutil.copytree(FLEET.parent, fleet.parent)
    fleet.write_text(
        "schema: nova-gpu-passthrough/fleet\nversion: 1\nname: disk\ngroups:\n"
        "  - {name: l40s, inventories: [inventories/l40s01.yaml]}\n"
        "flavors:\n  - {model: L40S, disk_gib: 100}\n"
        "fixed_flavors:\n  - {name: cpu, vcpus: 1, ram_mib: 512, disk_gib: 300}\n"
    )
    stack = Stack(
        tmp_path / "stack",
        services=_CONTROLLER,
        GPU_PASSTHROUGH_FLEET=fleet,
        NOVA_USE_UNIFIED_LIMITS="True",
    )
    stack.run("stack post-config")
    (project,) = yaml.safe_load((stack.made / "fleet.yaml").read_text())["projects"]
    # 4 L40S. A server without a GPU needs no place beside them.
    assert project["quotas"]["disk_gib"] == 4 * 100


def test_novas_own_quotas_have_no_disk(alone):
    fleet = yaml.safe_load((alone.made / "fleet.yaml").read_text())
    assert "disk_gib" not in fleet["quotas"]["default"]
    assert "disk_gib" not in fleet["projects"][0]["quotas"]


@pytest.mark.parametrize(
    "version, release",
    [
        ("32.0.0", "32"),
        ("33.0.0.0rc2.dev3", "33"),
        # Of stable/2026.1, with and without a tag since the first one.
        ("33.0.1.dev12", "33"),
        ("33.1.1.dev2", "33"),
        # Of master, after the branch stable/2025.2 and after stable/2026.1.
        ("32.1.0.dev7", "33"),
        ("33.1.0.dev433", "34"),
        ("33.1.0.dev433+g1234567", "34"),
        ("34.0.0", "34"),
        ("34.1.0.dev1", "34"),
        ("35.0.0", "34"),
    ],
)
def test_the_release_is_that_of_the_installed_nova(version, release, tmp_path, monkeypatch):
    fleet = importlib.util.spec_from_file_location("devstack_fleet", PLUGIN / "fleet.py")
    module = importlib.util.module_from_spec(fleet)
    fleet.loader.exec_module(module)
    monkeypatch.setattr(module.metadata, "version", {"nova": version}.__getitem__)
    given = str(FLEET.parent / "inventories/l40s01.yaml")
    assert module.main([str(tmp_path), "--inventory", given, "--host", "l40s01"]) == 0
    settings = yaml.safe_load((tmp_path / "fleet.yaml").read_text())["settings"]
    assert str(settings["release"]) == release


def test_a_controller_has_the_aliases_of_hosts_elsewhere_and_no_devices(tmp_path):
    stack = Stack(tmp_path, services=_CONTROLLER, GPU_PASSTHROUGH_FLEET=FLEET)
    stack.stack()
    nova = loaded(stack.etc / "nova.conf")
    assert nova.aliases == {"h100-sxm"}
    assert not nova.device_specs
    assert not stack.calls("nova-gpu", "host", "audit")
    assert "apply" in stack.calls("nova-gpu")[-1]
    # There is no compute to wait for.
    assert not stack.calls("nova-manage")


def test_a_compute_node_has_its_devices_and_leaves_the_cloud_to_the_controller(tmp_path):
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(FLEET.read_text().replace("inventories/hgx", "given/hgx"))
    (tmp_path / "given").mkdir()
    for path in FLEET.parent.glob("inventories/hgx*.yaml"):
        text = path.read_text().replace("host: hgx01", "host: devstack")
        (tmp_path / "given" / path.name).write_text(text)
    stack = Stack(tmp_path / "stack", services=_COMPUTE, GPU_PASSTHROUGH_FLEET=fleet)
    stack.stack()
    nova = loaded(stack.etc / "nova.conf")
    assert nova.aliases == {"h100-sxm"}
    assert len(nova.device_specs) == 8
    assert all("apply" not in call for call in stack.calls("nova-gpu"))
    assert "breadth-first" not in (stack.etc / "placement.conf").read_text()
    assert yaml.safe_load((stack.made / "smoke.yaml").read_text())["hosts"] == ["devstack"]


@pytest.mark.parametrize("services", [_COMPUTE, _CONTROLLER])
def test_several_machines_need_one_fleet_file(tmp_path, services):
    stack = Stack(tmp_path, services=services)
    assert "need one fleet file" in stack.run("stack pre-install", succeeds=False)


def test_the_smoke_test_looks_at_domains_of_this_machine(alone):
    assert yaml.safe_load((alone.made / "smoke.yaml").read_text())["hosts"] == ["devstack"]


def test_the_smoke_test_of_a_controller_looks_at_no_domains(tmp_path):
    stack = Stack(tmp_path, services=_CONTROLLER, GPU_PASSTHROUGH_FLEET=FLEET)
    stack.run("stack post-config")
    stack.run("stack test-config")
    assert yaml.safe_load((stack.made / "smoke.yaml").read_text())["hosts"] == []


def test_a_compute_without_gpus_has_the_aliases(tmp_path):
    stack = Stack(tmp_path, services=_COMPUTE, GPU_PASSTHROUGH_FLEET=FLEET)
    stack.run("stack post-config")
    nova = loaded(stack.etc / "nova.conf")
    assert nova.aliases == {"h100-sxm"}
    assert not nova.device_specs


def test_any_pci_function_stands_in_for_a_gpu_and_is_the_only_one(tmp_path):
    tree = write(HGX, tmp_path / "tree")
    address = next(a for a, device in HGX.devices().items() if device.class_code >> 16 == 2)
    stack = Stack(tmp_path / "stack", tree=tree, GPU_PASSTHROUGH_STANDIN=address)
    stack.run("stack pre-install")
    stack.run("stack post-config")
    nova = loaded(stack.etc / "nova.conf")
    assert nova.aliases == {"stand-in"}
    (spec,) = nova.device_specs
    assert spec["gpu_card"] == address.rpartition(".")[0]
    (flavor,) = yaml.safe_load((stack.made / "fleet.yaml").read_text())["flavors"]
    assert (flavor["model"], flavor["ram_mib_per_gpu"]) == ("STAND-IN", 512)


@pytest.mark.parametrize(
    "localrc, message",
    [
        ({"GPU_PASSTHROUGH_STANDIN": "fake"}, "expected nothing, fake-libvirt, or a PCI address"),
        ({"GPU_PASSTHROUGH_STANDIN": "0000:ff:1f.7"}, "has no such PCI function"),
        ({"GPU_PASSTHROUGH_FLEET": "/nowhere/fleet.yaml"}, "cannot read /nowhere/fleet.yaml"),
        (
            {"GPU_PASSTHROUGH_STANDIN": "fake-libvirt", "GPU_PASSTHROUGH_INVENTORIES": "/no/a"},
            "cannot read /no/a",
        ),
    ],
)
def test_an_invalid_variable_ends_stack_before_anything_is_installed(
    tmp_path, hgx, localrc, message
):
    stack = Stack(tmp_path, tree=hgx, **localrc)
    assert message in stack.run("stack pre-install", succeeds=False)
    assert not stack.calls("setup_develop")


def test_a_machine_without_gpus_is_refused(tmp_path):
    machine = L40S
    for gpu in L40S.gpus():
        machine = defects.removed(machine, gpu.address)
    stack = Stack(tmp_path / "stack", tree=write(machine, tmp_path / "tree"))
    assert "no GPU" in stack.run("stack post-config", succeeds=False)


def test_a_fleet_file_that_names_no_inventories_ends_stack_with_one_sentence(tmp_path):
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(FLEET.read_text().replace("inventories/hgx", "nowhere/hgx"))
    stack = Stack(tmp_path / "stack", services=_CONTROLLER, GPU_PASSTHROUGH_FLEET=fleet)
    messages = stack.run("stack post-config", succeeds=False).splitlines()
    assert messages[-1] == f"{fleet}: no inventory matches nowhere/hgx*.yaml of group hgx"


def test_running_services_of_an_earlier_stack_are_stopped_first(tmp_path, hgx):
    stack = Stack(tmp_path, tree=hgx)
    (tmp_path / "running").write_text(
        "devstack@g-api.service loaded active running Devstack devstack@g-api.service\n"
        "devstack@n-cpu.service loaded active running Devstack devstack@n-cpu.service\n"
    )
    stack.run("stack pre-install")
    assert stack.calls("systemctl") == [
        ["stop", "devstack@g-api.service", "devstack@n-cpu.service"]
    ]


def test_nothing_is_stopped_if_no_services_run(tmp_path, hgx):
    stack = Stack(tmp_path, tree=hgx)
    stack.run("stack pre-install")
    assert not stack.calls("systemctl")


def test_without_nova_nothing_happens(tmp_path):
    stack = Stack(tmp_path, services="mysql,key")
    stack.stack()
    assert not stack.calls("nova-gpu")
