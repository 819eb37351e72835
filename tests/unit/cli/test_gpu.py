# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu gpu list``."""

import csv
import io
import json

import pytest

from nova_gpu_passthrough.inventory import store
from tests.trees import defects
from tests.unit.audited import HGX, L40S, MACHINES, audit_machine


@pytest.fixture
def listed(nova_gpu, tree):
    """Run ``gpu list`` on a machine; return the rows."""

    def run(machine, *arguments):
        status, out, err = nova_gpu(
            "gpu", "list", "--root", tree(machine), "--long", "-f", "json", *arguments
        )
        assert (status, err) == (0, "")
        return json.loads(out)

    return run


@pytest.mark.parametrize("name", MACHINES)
def test_every_gpu_is_a_row(listed, name):
    machine = MACHINES[name]
    inventory = audit_machine(machine)
    rows = listed(machine)
    assert [row["Address"] for row in rows] == [gpu.address for gpu in machine.gpus()]
    for row, gpu in zip(rows, inventory.gpus, strict=True):
        device = inventory.device(gpu)
        assert row["Model"] == gpu.model
        assert row["IDs"] == device.ids
        assert row["NUMA Node"] == device.numa_node
        assert row["IOMMU Group"] == device.iommu_group
        assert row["Driver"] == device.driver
        assert row["Device Type"] == "type-PF"
        assert row["Companions"] == list(gpu.companions)
        assert row["Switch"] == gpu.switch
        assert row["Verdict"] == inventory.verdicts[gpu.address]


def test_link_groups_from_the_option(listed):
    first, second, *_ = [gpu.address for gpu in L40S.gpus()]
    rows = listed(L40S, "--link-group", f"pair={first},{second}")
    assert [row["Link Group"] for row in rows] == [["pair"], ["pair"], [], []]


def test_unknown_values_are_null(listed):
    machine = defects.iommu_disabled_in_firmware(defects.no_numa_node(L40S, "0000:01:00.0"))
    row = listed(machine)[0]
    assert row["NUMA Node"] is None
    assert row["IOMMU Group"] is None
    assert row["Verdict"] == "ready after configuration"


def test_a_host_without_gpus(nova_gpu, folder):
    (folder / "sys").mkdir()
    status, out, err = nova_gpu("gpu", "list", "--root", folder, "-f", "csv")
    assert (status, err) == (0, "")
    assert list(csv.DictReader(io.StringIO(out))) == []
    assert out.startswith('"Address","Model"')


def test_the_table(nova_gpu, tree):
    status, out, _ = nova_gpu("gpu", "list", "--root", tree(HGX))
    assert status == 0
    assert out.count("| ready ") == 8
    assert "\x1b[" not in out


def test_gpus_of_an_inventory_file(nova_gpu, tmp_path):
    path = tmp_path / "host.yaml"
    path.write_text(store.dump(audit_machine(L40S), "x"), encoding="utf-8")
    status, out, _ = nova_gpu("gpu", "list", "--inventory", path, "-f", "value", "-c", "Address")
    assert status == 0
    assert out.split() == [gpu.address for gpu in L40S.gpus()]


@pytest.mark.parametrize("order", ["--sort-ascending", "--sort-descending"])
@pytest.mark.parametrize("column", ["NUMA Node", "Verdict", "Address"])
def test_rows_can_be_sorted(nova_gpu, tree, column, order):
    status, out, err = nova_gpu(
        "gpu", "list", "--root", tree(HGX), "-f", "json", "--sort-column", column, order
    )
    assert (status, err) == (0, "")
    values = [row[column] for row in json.loads(out)]
    assert values == sorted(values, reverse=order == "--sort-descending")


def test_a_machine_without_gpus_gets_the_cloud_s_command(nova_gpu, folder):
    (folder / "sys").mkdir()
    status, out, err = nova_gpu("gpu", "list", "--root", folder)
    assert (status, out) == (0, "")
    assert err == "This machine has no GPUs; nova-gpu device list lists those of a cloud\n"
