# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu host list`` with a fake cloud."""

import csv
import io
import itertools
import json

import pytest

from nova_gpu_passthrough.inventory import store
from tests.unit.cli.clouds import cloud as cloud
from tests.unit.cli.clouds import named as named
from tests.unit.cloud import clouds
from tests.unit.generate import builders

GPUS = tuple(f"0000:{bus:02x}:00.0" for bus in range(0x20, 0x28))


@pytest.fixture
def listed(nova_gpu, named):
    def run(*arguments):
        status, out, err = nova_gpu("--os-cloud", "test", "host", "list", *arguments)
        assert (status, err) == (0, "")
        return out

    return run


@pytest.fixture
def hgx(named):
    resolved = clouds.fleet(builders.hgx("hgx1"))
    providers = clouds.run_computes(named, resolved)
    flavor = named.nova.add_flavor("pair", 2, 1024, pci_passthrough__alias="h100-sxm:2")
    clouds.boot(named, providers, "hgx1", GPUS[:2], flavor)
    clouds.allocate(named, providers, "hgx1", GPUS[2:3], "11111111-2222-3333-4444-555555555555")
    reserved = {"CUSTOM_GPU_H100_SXM": {"total": 1, "reserved": 1, "max_unit": 1}}
    named.placement.set_inventories(providers["hgx1", GPUS[7]], reserved)
    return providers


def test_without_gpu_hosts_the_list_is_empty(listed):
    assert json.loads(listed("-f", "json")) == []


def test_values_are_typed(listed, hgx):
    (host,) = json.loads(listed("-f", "json", "--long"))
    assert host == {
        "Host": "hgx1",
        "Group": None,
        "Rack": None,
        "Domains": {},
        "State": "up",
        "Model": ["H100-SXM"],
        "GPUs": 8,
        "Free": 4,
        "In Use": 2,
        "Reserved": 1,
        "Stuck": 1,
        "Missing": 0,
        "Free by NUMA Node": {"0": 1, "1": 3},
        "VCPU Free": 4 * 4 - 2,
        "PCPU Free": 24,
        "RAM Free MiB": host["RAM Free MiB"],
        "Availability Zone": "nova",
        "Projects": None,
        "Servers": 1,
        "Aggregates": [],
        "Disabled Reason": "",
        "Provider": hgx["hgx1", ""],
    }
    assert host["RAM Free MiB"] > 400_000


def test_racks_and_other_failure_domains(listed, named, tmp_path):
    inventories = [builders.hgx(name) for name in ("hgx1", "hgx2")]
    for inventory in inventories:
        (tmp_path / f"{inventory.host}.yaml").write_text(store.dump(inventory, "test"))
    file = tmp_path / "fleet.yml"
    file.write_text(
        "schema: nova-gpu-passthrough/fleet\nversion: 1\nname: f\n"
        "groups: [{name: g, inventories: ['hgx*.yaml']}]\n"
        "hosts: [{names: [hgx2], rack: 12, domains: {room: a, power: p1}}]\n"
    )
    clouds.run_computes(named, clouds.fleet(*inventories))
    columns = ("-c", "Host", "-c", "Rack", "-c", "Domains")
    rows = json.loads(listed("--fleet", str(file), "-f", "json", *columns))
    assert rows == [
        {"Host": "hgx1", "Rack": None, "Domains": {}},
        {"Host": "hgx2", "Rack": "12", "Domains": {"room": "a", "power": "p1"}},
    ]


def _reserve(named, **metadata):
    named.nova.aggregates["1"] = {
        "id": 1,
        "uuid": "uuid-1",
        "name": "gpu-hgx",
        "availability_zone": None,
        "hosts": ["hgx1"],
        "metadata": metadata,
    }


def _projects(listed):
    (host,) = json.loads(listed("-f", "json", "-c", "Projects"))
    return host["Projects"]


def test_the_projects_that_alone_may_use_a_host(listed, hgx, named):
    _reserve(named, filter_tenant_id="id-research, id-teaching", filter_tenant_id2="gone")
    assert _projects(listed) == ["gone", "research", "teaching"]
    _reserve(named, filter_tenant_id="none")
    assert _projects(listed) == ["(nobody)"]
    _reserve(named, other="1")
    assert _projects(listed) is None


def test_names_of_projects_are_read_only_for_reserved_hosts(listed, hgx, named):
    listed("--long")
    assert named.requested("GET .*/projects") == []


def test_the_table(listed, hgx):
    table = listed()
    assert "| hgx1 | up    | H100-SXM |    8 |    4 |      2 |     1 |" in table
    assert "Provider" not in table
    assert "| 0: 1, 1: 3 " in listed("--long")


def test_all_formats(listed, hgx):
    columns = ("-c", "Host", "-c", "Free")
    rows = csv.DictReader(io.StringIO(listed("-f", "csv", *columns)))
    assert list(rows) == [{"Host": "hgx1", "Free": "4"}]
    assert listed("-f", "value", *columns) == "hgx1 4\n"
    assert listed("-f", "yaml", *columns) == "- Free: 4\n  Host: hgx1\n"


def test_states(listed, named):
    clouds.run_computes(named, clouds.fleet(builders.hgx("hgx1")))
    service = named.nova.services[0]
    states = []
    for state, status in itertools.product(("up", "down"), ("enabled", "disabled")):
        service |= {"state": state, "status": status}
        states.append(listed("-f", "value", "-c", "State").strip())
    assert states == ["up", "disabled", "down", "down, disabled"]


def test_a_host_that_nova_does_not_know_is_absent_and_reported(nova_gpu, named, hgx):
    named.nova.services.clear()
    named.nova.hypervisors.clear()
    status, out, err = nova_gpu(
        "--os-cloud", "test", "host", "list", "-f", "value", "-c", "Host", "-c", "State"
    )
    assert (status, out) == (0, "hgx1 absent\n")
    assert err.startswith("hgx1: Nova has no compute node of that name")
