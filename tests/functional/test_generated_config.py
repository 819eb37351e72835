# SPDX-License-Identifier: Apache-2.0
"""Generated nova.conf and placement.conf, read by Nova and Placement and used in a cloud."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock
from xml.etree import ElementTree

import nova.conf
import pytest
import yaml
from nova.pci import request, whitelist
from nova.virt import hardware
from nova.virt.libvirt.host import Host
from oslo_config import cfg
from oslo_config import fixture as config_fixture

from nova_gpu_passthrough import conf as gpu_conf
from nova_gpu_passthrough.fleet.offers import CONTROL
from nova_gpu_passthrough.fleet.settings import DeploymentTarget
from nova_gpu_passthrough.generate.control_options import WEIGHER
from tests.embedded.fleet import GPU
from tests.functional.base import GpuCloudTest
from tests.functional.generated import (
    HOSTS,
    NIC_ADDRESS,
    RELEASE,
    embedded_host,
    nova_files,
    nova_options,
    placement_options,
    read,
    write,
)


@pytest.fixture(autouse=True)
def _own_aliases() -> Iterator[None]:
    """Clear Nova's cache of aliases before and after each test."""
    request.get_alias_from_config.cache_clear()
    yield
    request.get_alias_from_config.cache_clear()


@pytest.fixture
def nova_conf() -> Iterator[Any]:
    """Set the options of Nova's modules to the values of files for one test."""
    gpu_conf.register_opts(nova.conf.CONF)
    fixture = config_fixture.Config(nova.conf.CONF)
    fixture.setUp()

    def use(values: dict[tuple[str | None, str], Any]) -> None:
        for (group, name), value in values.items():
            fixture.config(group=group, **{name: value})

    yield use
    fixture.cleanUp()


@pytest.mark.parametrize("hugepages", [False, True])
@pytest.mark.parametrize("host", ["hgx1", "l40s1"])
def test_nova_reads_a_compute_nodes_options(
    tmp_path: Path, nova_conf: Any, host: str, hugepages: bool
) -> None:
    root = write(tmp_path, one_time_use=True, hugepages=hugepages)
    values = read(nova_options(), "nova", *nova_files(root, host))
    nova_conf(values)
    specs = whitelist.Whitelist(values["pci", "device_spec"]).specs
    (inventory,) = [found for found in HOSTS if found.host == host]
    offered = {a for gpu in inventory.gpus for a in (gpu.address, *gpu.companions)}
    offered |= {NIC_ADDRESS} if host == "hgx1" else set()
    assert {spec.dev_spec_conf["address"] for spec in specs} == offered
    for device in inventory.devices:
        matching = [
            spec
            for spec in specs
            if spec.match(
                {
                    "address": device.address,
                    "vendor_id": device.vendor_id,
                    "product_id": device.product_id,
                }
            )
        ]
        assert len(matching) == (device.address in offered)
    dedicated, shared = hardware.get_cpu_dedicated_set(), hardware.get_cpu_shared_set()
    assert dedicated and shared and not dedicated & shared
    reserved = hardware.numa_get_reserved_huge_pages()
    assert {node: [*sizes] for node, sizes in reserved.items()} == {0: [4], 1: [4]}
    in_small_pages = sum(sizes[4] * 4 // 1024 for sizes in reserved.values())
    assert in_small_pages == values[None, "reserved_host_memory_mb"]
    assert request.get_alias_from_config().keys() >= {"h100-sxm", "l40s", "l40s-audio"}


def test_all_services_read_the_same_aliases(tmp_path: Path, nova_conf: Any) -> None:
    root = write(tmp_path)
    aliases = []
    for host in (CONTROL, "hgx1", "l40s1"):
        values = read(nova_options(), "nova", *nova_files(root, host))
        nova_conf(values)
        request.get_alias_from_config.cache_clear()
        aliases.append(request.get_alias_from_config())
    assert aliases[0] == aliases[1] == aliases[2]
    assert aliases[0]["h100-sxm"] == (
        "legacy",
        [{"dev_type": "type-PF", "resource_class": "CUSTOM_GPU_H100_SXM"}],
    )


def test_one_time_use_is_read_where_nova_knows_it(tmp_path: Path, nova_conf: Any) -> None:
    root = write(tmp_path, one_time_use=True)
    values = read(nova_options(), "nova", *nova_files(root, "hgx1"))
    nova_conf(values)
    tags = [spec.get_tags() for spec in whitelist.Whitelist(values["pci", "device_spec"]).specs]
    expected = ["true"] * 8 if RELEASE.one_time_use else []
    assert [tag["one_time_use"] for tag in tags if "one_time_use" in tag] == expected


def test_placement_reads_its_options(tmp_path: Path) -> None:
    root = write(tmp_path)
    (file,) = (root / CONTROL / "etc/placement/placement.conf.d").iterdir()
    assert read(placement_options(), "placement", file) == {
        ("placement", "max_allocation_candidates"): 1000,
        ("placement", "allocation_candidates_generation_strategy"): "breadth-first",
        ("placement", "allocation_conflict_retry_count"): 1,
        ("workarounds", "optimize_for_wide_provider_trees"): True,
    }


def test_services_read_the_directory_after_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read the directory without --config-dir; repeated options add up."""
    root = write(tmp_path)
    folder = root / CONTROL / "etc/nova"
    own = folder / "nova.conf"
    own.write_text('[pci]\nalias = {"name": "mine"}\n[scheduler]\nmax_placement_results = 7\n')
    monkeypatch.setattr(cfg, "_get_config_dirs", lambda project: [str(folder)])
    conf = nova_options()
    conf([], project="nova", prog="nova-scheduler", default_config_files=[str(own)])
    names = [json.loads(alias)["name"] for alias in conf.pci.alias]
    assert sorted(names) == ["h100-sxm", "l40s", "l40s-audio", "mine", "nic-15b3-1021"]
    assert conf.scheduler.max_placement_results == 1000


def test_kolla_gets_the_same_values(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain")
    kolla = write(tmp_path / "kolla", target=DeploymentTarget.KOLLA) / CONTROL / "etc/kolla/config"
    for host, file in (
        ("hgx1", kolla / "nova/hgx1/nova.conf"),
        ("l40s1", kolla / "nova/l40s1/nova.conf"),
        (CONTROL, kolla / "nova/nova-scheduler.conf"),
    ):
        expected = read(nova_options(), "nova", *nova_files(plain, host))
        assert read(nova_options(), "nova", file) == expected


class GeneratedCloudTest(GpuCloudTest):
    """Base of tests on an HGX host and an L40S host with the generated configuration."""

    settings: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _files(self, tmp_path: Path) -> None:
        self.root = write(tmp_path, **self.settings)

    def setUp(self) -> None:
        super().setUp()
        values = {
            host: read(nova_options(), "nova", *nova_files(self.root, host))
            for host in (CONTROL, "hgx1", "l40s1")
        }
        options = values[CONTROL] | values["hgx1"]
        # Nova's own weighers stay.
        assert options["filter_scheduler", "weight_classes"] == [
            "nova.scheduler.weights.all_weighers",
            WEIGHER,
        ]
        for option in (("pci", "device_spec"), ("pci", "alias")):
            options.pop(option)
        self.specs = {
            host: [json.loads(spec) for spec in values[host]["pci", "device_spec"]]
            for host in ("hgx1", "l40s1")
        }
        self.start_cloud(
            [embedded_host(found, values[found.host]) for found in HOSTS],
            aliases=[json.loads(alias) for alias in values[CONTROL]["pci", "alias"]],
            enabled_filters=options.pop(("filter_scheduler", "enabled_filters")),
            weight_classes=options.pop(("filter_scheduler", "weight_classes")),
            config=options,
        )


class GeneratedCloud(GeneratedCloudTest):
    """The default settings."""

    def test_devices_are_providers_and_pools_and_flavors_boot(self) -> None:
        self.check_providers()
        self.check_pools()
        table = yaml.safe_load(
            (self.root / CONTROL / "etc/gpu-passthrough/guests.yaml").read_text()
        )
        for entry, count in zip(table["gpus"], (8, 2), strict=True):
            (flavor,) = [flavor for flavor in entry["flavors"] if flavor["gpus"] == count]
            name = f"{entry['alias']}-{count}"
            self.cloud.create_flavor(
                name, flavor["vcpus"], flavor["ram_mib"], extra_specs=flavor["extra_specs"]
            )
            image = self.cloud.create_image(**entry["image_properties"])
            (server,) = self.cloud.boot(name, image=image)
            held = self.cloud.devices_of(server)
            (host,) = entry["hosts"]
            self.assertEqual({host}, {device.host for device in held})
            self.assertEqual(count, sum(device.device.role == GPU for device in held))
            if host == "l40s1":
                self.assertEqual(4, len(held))
                self.assertEqual(2, len({device.device.card for device in held}))

    def check_providers(self) -> None:
        placement_api = self.cloud.nova.placement
        providers = {name.lower(): uuid for uuid, name in self.cloud.providers().items()}
        for host, specs in self.specs.items():
            for spec in specs:
                provider = providers[f"{host}_{spec['address']}"]
                path = f"/resource_providers/{provider}"
                inventories = placement_api.get(f"{path}/inventories").body["inventories"]
                self.assertEqual({spec["resource_class"]: 1}, _totals(inventories))
                traits = set(placement_api.get(f"{path}/traits", version="1.6").body["traits"])
                self.assertLessEqual(set(spec["traits"].split(",")), traits)
        self.assertEqual(2 + sum(map(len, self.specs.values())), len(providers))

    def check_pools(self) -> None:
        pools = self.cloud.scheduler_pools()
        for host, specs in self.specs.items():
            by_address = {pool["address"]: pool for pool in pools[host]}
            self.assertEqual({spec["address"] for spec in specs}, by_address.keys())
            for spec in specs:
                pool = by_address[spec["address"]]
                self.assertEqual(1, pool["count"])
                for tag, value in spec.items():
                    if tag.startswith("gpu_"):
                        self.assertEqual(value, pool[tag])


class EmulatedDevices(GeneratedCloudTest):
    """What servers have beside their GPUs by default."""

    graphics = True

    def test_devices_of_a_server(self) -> None:
        self.cloud.create_flavor("one", 4, 4096, {"l40s": 1})
        defined = []
        write_config = Host.write_instance_config

        def record(host: Any, xml: str) -> Any:
            defined.append(xml)
            return write_config(host, xml)

        with mock.patch.object(Host, "write_instance_config", record):
            self.cloud.boot("one")
        guest = ElementTree.fromstring(defined[-1])
        devices = guest.find("devices")
        assert devices is not None
        found = {child.tag for child in devices}
        self.assertIn("hostdev", found)
        self.assertEqual(self.graphics, {"graphics", "video", "input"} <= found)
        self.assertEqual(self.graphics, bool({"graphics", "video", "input"} & found))
        models = [c.get("model") for c in devices.iter("controller") if c.get("type") == "usb"]
        self.assertEqual(self.graphics, models != ["none"])


class HeadlessDevices(EmulatedDevices):
    """Servers of headless hosts have no emulated display, pointer and USB controller."""

    settings: ClassVar[dict[str, Any]] = {"headless": True}
    graphics = False


def _totals(inventories: dict[str, Any]) -> dict[str, int]:
    return {name: inventory["total"] for name, inventory in inventories.items()}
