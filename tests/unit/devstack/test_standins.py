# SPDX-License-Identifier: Apache-2.0
"""A DevStack whose computes are stand-ins on Nova's fake libvirt."""

import configparser
import json
import shlex

import pytest
import yaml

from nova_gpu_passthrough.inventory import store as inventories
from tests import cache
from tests.unit.devstack.nova import loaded
from tests.unit.devstack.stack import Stack

EXAMPLES = cache.ROOT / "etc/fleet"
_FILTERS = (
    "ComputeFilter,SameHostFilter,DifferentHostFilter,GpuPassthroughFilter,"
    "PciPassthroughFilter,NUMATopologyFilter"
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """After stack.sh."""
    made = Stack(tmp_path_factory.mktemp("stack"), GPU_PASSTHROUGH_STANDIN="fake-libvirt")
    made.stack()
    return made


def unit(stack, number):
    """Return the section Service of a compute's drop-in."""
    path = stack.units / f"devstack@n-cpu-{number}.service.d/gpu-passthrough.conf"
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(path)
    return parser["Service"]


def options(stack, number):
    """Return the configuration files that a compute is started with, in order."""
    words = shlex.split(unit(stack, number)["ExecStart"])
    return [words[at + 1] for at, word in enumerate(words) if word == "--config-file"]


def test_the_package_is_installed_with_what_the_fake_libvirt_needs(stack):
    assert stack.calls("setup_develop") == [[str(cache.ROOT)]]
    assert "fixtures" in stack.calls("pip_install")[0]


def test_each_host_is_a_compute_of_devstacks_fake_driver(stack):
    assert stack.calls("computes")[-1] == ["2", "driver", "fake"]
    hosts = [inventories.load(path).host for path in (stack.made / "inventories").iterdir()]
    assert sorted(hosts) == ["devstack1", "devstack2"]


def test_scheduler_and_api_know_filter_weigher_and_aliases(stack):
    for file in ("nova.conf", "nova_cell1.conf"):
        nova = loaded(stack.etc / file)
        assert nova.aliases == {"h100-sxm", "l40s", "l40s-audio"}
        assert ",".join(nova.options.filter_scheduler.enabled_filters) == _FILTERS
        assert nova.options.filter_scheduler.pci_in_placement


def test_other_options_stay(stack):
    assert loaded(stack.etc / "nova.conf").options.my_ip == "192.0.2.1"


def test_quotas_are_enforced_although_devstack_disables_them_for_its_fake_driver(stack):
    assert "NoopQuotaDriver" not in (stack.etc / "nova.conf").read_text()


def test_placement_returns_few_candidates_of_each_host(stack):
    text = (stack.etc / "placement.conf").read_text()
    assert "allocation_candidates_generation_strategy = breadth-first" in text
    assert "max_pool_size = 5" in text


@pytest.mark.parametrize("number, model, count", [(1, "H100-SXM", 8), (2, "L40S", 4)])
def test_a_compute_offers_the_gpus_of_its_inventory(stack, number, model, count):
    cpu, fake, *own = options(stack, number)
    assert (cpu, fake) == (f"{stack.etc}/nova-cpu.conf", f"{stack.etc}/nova-fake.conf-{number}")
    # nova-cpu.conf is a copy of nova.conf by then.
    nova = loaded(stack.etc / "nova.conf", *own)
    gpus = [spec for spec in nova.device_specs if spec.get("gpu_model") == model]
    assert len(gpus) >= count
    assert nova.options.compute_driver == "libvirt.LibvirtDriver"
    assert nova.options.pci.report_in_placement
    assert nova.aliases == {"h100-sxm", "l40s", "l40s-audio"}


@pytest.mark.parametrize("managed, value", [("True", "yes"), ("False", "no")])
def test_the_devices_of_a_compute_are_managed_as_the_variable_says(tmp_path, managed, value):
    stack = Stack(tmp_path, GPU_PASSTHROUGH_STANDIN="fake-libvirt", GPU_PASSTHROUGH_MANAGED=managed)
    stack.stack()
    for number in (1, 2):
        specs = loaded(stack.etc / "nova.conf", *options(stack, number)[2:]).options.pci.device_spec
        gpus = [spec for spec in map(json.loads, specs) if "gpu_model" in spec]
        assert {spec["managed"] for spec in gpus} == {value}


def test_cpus_are_numbered_as_the_fake_libvirt_numbers_them(stack):
    given = inventories.load(EXAMPLES / "inventories/hgx01.yaml").numa_nodes
    made = inventories.load(stack.made / "inventories/devstack1.yaml").numa_nodes
    assert given[0].cores[0] == "0,112"
    assert [made[0].cores[0], made[1].cores[-1]] == ["0-1", "222-223"]
    assert [node.cpus for node in made] == ["0-111", "112-223"]
    assert [len(node.cores) for node in made] == [len(node.cores) for node in given]


def test_a_compute_runs_the_launcher_of_this_checkout(stack):
    words = shlex.split(unit(stack, 1)["ExecStart"])
    assert words[:3] == [f"{stack.root}/bin/python3", "-m", "tests.cloud.compute_launcher"]
    assert inventories.load(type(stack.root)(words[3])).host == "devstack1"
    assert unit(stack, 1)["Environment"] == f'"PYTHONPATH={cache.ROOT}"'


def test_the_fleet_is_applied_after_nova_knows_all_hosts_and_their_resources(stack):
    text = (stack.root / "calls").read_text()
    marks = (
        "compute service list --service nova-compute --host devstack2",
        "nova-manage cell_v2 discover_hosts --by-service",
        "'^devstack2([.]|$)'",
        " apply ",
    )
    found = [text.index(mark) for mark in marks]
    assert found == sorted(found)
    cloud, name, region, region_name, command, *rest = stack.calls("nova-gpu")[-1]
    assert (cloud, name, region, region_name) == (
        "--os-cloud",
        "devstack-admin",
        "--os-region-name",
        "RegionOne",
    )
    assert [command, *rest] == ["apply", "--fleet", f"{stack.made}/fleet.yaml"]


def test_the_demo_project_may_use_all_gpu_flavors(stack):
    fleet = yaml.safe_load((stack.made / "fleet.yaml").read_text())
    (project,) = fleet["projects"]
    assert (project["name"], project["flavors"]) == ("demo", ["*"])
    assert fleet["quotas"]["driver"] == "nova"
    assert project["quotas"]["vcpus"] > fleet["quotas"]["default"]["vcpus"]


def test_the_smoke_test_knows_where_domains_are(stack):
    known = yaml.safe_load((stack.made / "smoke.yaml").read_text())
    assert known["domains"] == f"{stack.made}/hosts.d"
    assert known["hosts"] == ["devstack1", "devstack2"]
    assert known["image"] == "cirros"


def test_a_second_stack_writes_the_same_files(tmp_path):
    stack = Stack(tmp_path, GPU_PASSTHROUGH_STANDIN="fake-libvirt")
    stack.stack()
    # The record of apply; its cloud no longer exists when stack.sh runs again.
    (stack.made / "fleet.applied.yaml").write_text("old")
    first = stack.files()
    stack.stack()
    second = stack.files()
    assert second.keys() == first.keys() - {stack.made.relative_to(tmp_path) / "fleet.applied.yaml"}
    for path, text in second.items():
        if not path.name.endswith(".applied"):
            assert text == first[path], path


def test_unstack_stops_as_many_computes_and_removes_their_units(tmp_path):
    stack = Stack(tmp_path, GPU_PASSTHROUGH_STANDIN="fake-libvirt")
    stack.stack()
    stack.run("unstack")
    assert stack.calls("computes")[-1] == ["2", "driver", "fake"]
    assert not list(stack.units.iterdir())
    stack.run("unstack")
    assert (stack.made / "fleet.yaml").exists()


def test_units_of_other_settings_are_removed(tmp_path):
    stack = Stack(tmp_path, GPU_PASSTHROUGH_STANDIN="fake-libvirt")
    stack.run("stack post-config")
    assert list(stack.units.iterdir())
    stack.environment["ENABLED_SERVICES"] = "n-api,n-sch"
    stack.environment["GPU_PASSTHROUGH_FLEET"] = EXAMPLES / "one-group.yaml"
    stack.run("stack post-config")
    assert not list(stack.units.iterdir())
    assert stack.calls("systemctl")[-1] == ["daemon-reload"]


def test_clean_removes_only_the_files_of_the_plug_in(tmp_path):
    stack = Stack(tmp_path, GPU_PASSTHROUGH_STANDIN="fake-libvirt")
    stack.stack()
    (stack.made / "mine").write_text("")
    for _ in range(2):
        stack.run("unstack")
        stack.run("clean")
    assert [path.name for path in stack.made.iterdir() if path.suffix != ".applied"] == ["mine"]
    assert stack.calls("pip_uninstall")


def test_a_fleet_file_is_used_with_hosts_of_devstacks_names(tmp_path):
    fleet = EXAMPLES / "projects-and-quotas.yaml"
    stack = Stack(tmp_path, GPU_PASSTHROUGH_STANDIN="fake-libvirt", GPU_PASSTHROUGH_FLEET=fleet)
    stack.stack()
    assert stack.calls("computes")[-1][0] == "3"
    made = yaml.safe_load((stack.made / "fleet.yaml").read_text())
    given = yaml.safe_load(fleet.read_text())
    assert made["projects"] == given["projects"]
    assert [group["name"] for group in made["groups"]] == ["training", "research", "inference"]
    assert not (fleet.parent / "fleet.applied.yaml").exists()
    # A trait restricts its flavors to the first group, so the host of that group has the trait.
    traits = stack.made / "hosts.d/devstack1/provider_config/gpu-passthrough.yaml"
    assert yaml.safe_load(traits.read_text())["providers"][0]["traits"]["additional"]
    assert not list((stack.made / "hosts.d/devstack3/provider_config").iterdir())


def test_an_inventory_may_be_listed_several_times(tmp_path):
    path = EXAMPLES / "inventories/l40s01.yaml"
    stack = Stack(
        tmp_path,
        GPU_PASSTHROUGH_STANDIN="fake-libvirt",
        GPU_PASSTHROUGH_INVENTORIES=f"{path} {path} {path}",
    )
    stack.stack()
    assert (stack.made / "hosts").read_text().split() == ["devstack1", "devstack2", "devstack3"]


@pytest.fixture
def fleet(tmp_path):
    """A fleet of the machines gpu (two computes) and l40s (one)."""
    made = tmp_path / "fleet"
    given = EXAMPLES / "inventories"
    for machine, names in {"gpu": ["hgx01", "hgx02"], "l40s": ["l40s01"]}.items():
        for number, name in enumerate(names, start=1):
            text = (given / f"{name}.yaml").read_text()
            host = made / "inventories" / f"{machine}{number}.yaml"
            host.parent.mkdir(parents=True, exist_ok=True)
            host.write_text(text.replace(f"host: {name}\n", f"host: {machine}{number}\n"))
    path = made / "fleet.yaml"
    path.write_text(
        "schema: nova-gpu-passthrough/fleet\nversion: 1\nname: machines\ngroups:\n"
        "  - {name: hgx, inventories: [inventories/gpu*.yaml]}\n"
        "  - {name: l40s, inventories: [inventories/l40s*.yaml]}\n"
    )
    return path


def machine(path, name, services, fleet):
    """One of several machines, after stack.sh."""
    made = Stack(
        path / name,
        services=services,
        GPU_PASSTHROUGH_STANDIN="fake-libvirt",
        GPU_PASSTHROUGH_FLEET=fleet,
        HOSTNAME=name,
    )
    made.stack()
    return made


def test_each_of_several_machines_runs_its_own_computes(tmp_path, fleet):
    gpu = machine(tmp_path, "gpu", "n-cpu,placement-client", fleet)
    assert (gpu.made / "hosts").read_text().split() == ["gpu1", "gpu2"]
    assert gpu.calls("computes")[-1][0] == "2"
    assert "inventories/gpu2.yaml" in unit(gpu, 2)["ExecStart"]
    assert not gpu.calls("nova-manage")
    assert yaml.safe_load((gpu.made / "smoke.yaml").read_text())["hosts"] == ["gpu1", "gpu2"]
    l40s = machine(tmp_path, "l40s", "n-cpu,placement-client", fleet)
    assert (l40s.made / "hosts").read_text().split() == ["l40s1"]
    assert loaded(gpu.etc / "nova.conf").aliases == loaded(l40s.etc / "nova.conf").aliases


def test_the_controller_of_several_machines_keeps_the_names_and_waits_for_none(tmp_path, fleet):
    services = "mysql,rabbit,key,g-api,placement-api,n-api,n-cond,n-sch,q-svc"
    controller = machine(tmp_path, "controller", services, fleet)
    names = {path.stem for path in (controller.made / "inventories").iterdir()}
    assert names == {"gpu1", "gpu2", "l40s1"}
    assert not controller.calls("nova-manage")
    assert not list(controller.units.iterdir())
    assert "apply" in controller.calls("nova-gpu")[-1]


def test_a_controller_that_is_a_compute_too_waits_for_its_own(tmp_path, fleet):
    made = machine(tmp_path, "l40s", "n-api,n-cond,n-sch,n-cpu,placement-api", fleet)
    waited = [call for call in made.calls("test_with_retry") if "--host" in call]
    assert [call[call.index("--host") + 1] for call in waited] == ["l40s1"]


def test_the_message_for_a_compute_without_inventory_has_the_expected_name(tmp_path, fleet):
    stack = Stack(
        tmp_path / "stack",
        services="n-cpu,placement-client",
        GPU_PASSTHROUGH_STANDIN="fake-libvirt",
        GPU_PASSTHROUGH_FLEET=fleet,
        HOSTNAME="other",
    )
    messages = stack.run("stack post-config", succeeds=False).splitlines()
    assert messages[-1] == (
        f"{fleet}: there is no inventory of host other1, which is DevStack's name for the first "
        "compute of this machine; the fleet's hosts are gpu1, gpu2, l40s1"
    )
