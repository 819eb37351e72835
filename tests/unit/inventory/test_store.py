# SPDX-License-Identifier: Apache-2.0
"""An inventory file is read as it was written."""

import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import generated_files
from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.inventory.model import Inventory
from tests.unit.audited import HGX, L40S, MACHINES, audit_machine
from tests.unit.inventory.strategies import inventories

BARE = Inventory("compute-1", "sysfs", "2026-11-24T06:00:00Z")


def _file(tmp_path, inventory=BARE):
    path = tmp_path / "inventory.yaml"
    path.write_text(store.dump(inventory, "nova-gpu"), encoding="utf-8")
    return path


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(inventories())
def test_any_inventory_is_read_back(tmp_path, inventory):
    assert store.load(_file(tmp_path, inventory)) == inventory


@pytest.mark.parametrize("name", MACHINES)
def test_audited_machines_are_read_back(tmp_path, name):
    inventory = audit_machine(MACHINES[name])
    assert store.load(_file(tmp_path, inventory)) == inventory


def test_a_bare_inventory_is_short(tmp_path):
    document = yaml.safe_load(_file(tmp_path).read_text())
    assert document == {
        "schema": "nova-gpu-passthrough/inventory",
        "version": 1,
        "host": "compute-1",
        "source": "sysfs",
        "audited_at": "2026-11-24T06:00:00Z",
    }


def test_unknown_values_are_left_out(tmp_path):
    text = _file(tmp_path, audit_machine(HGX)).read_text()
    assert "null" not in text
    assert "!!" not in text


def test_plain_data_is_json(tmp_path):
    document = store.to_document(audit_machine(L40S))
    assert json.loads(json.dumps(document)) == document


def test_a_file_is_sealed(tmp_path):
    path = _file(tmp_path)
    assert path.read_text().startswith("# Made by: nova-gpu\n")
    assert (
        generated_files.file_state(path, store.dump(BARE, "other"))
        is generated_files.FileState.SAME
    )


def test_a_file_without_its_seal_is_read(tmp_path):
    path = _file(tmp_path)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[2:]))
    assert store.load(path) == BARE


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version: 1", "version: 2", r"yaml:4: key version: must be 1, not 2; expected an "),
        ("schema: nova-gpu-passthrough/inventory", "schema: other", r"yaml:3: key schema"),
        ("host: compute-1\n", "", r"there is no key host;"),
        ("host: compute-1", "host: 7", r"yaml:5: key host: must be a text, not 7;"),
        ("host: compute-1", "host: compute-1\nextra: 1", r"yaml:6: unknown key extra;"),
    ],
)
def test_another_file_is_rejected(tmp_path, old, new, message):
    path = _file(tmp_path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message):
        store.load(path)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("role: gpu", "role: toaster", "role"),
        ("address: '0000:18:00.0'", "address: '18:00.0'", "address"),
        ("vendor_id: 10de", "vendor_id: NVIDIA", "vendor_id"),
        ("iommu_group: ", "iommu_group: x", "iommu_group"),
        ("severity: ok", "severity: fine", "severity"),
        ("kind: intel", "kind: via", "kind"),
    ],
)
def test_a_wrong_value_is_rejected_with_its_key(tmp_path, old, new, key):
    path = _file(tmp_path, audit_machine(HGX))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    line = text[: text.index(old)].count("\n") + 1
    with pytest.raises(UserError, match=rf"yaml:{line}: key [^ ]*{key}: "):
        store.load(path)


@pytest.mark.parametrize("what", ["device", "companion"])
def test_a_gpu_without_its_function_is_rejected(tmp_path, what):
    inventory = audit_machine(L40S)
    document = store.to_document(inventory)
    gone = document["gpus"][0]["address" if what == "device" else "companions"]
    gone = gone if what == "device" else gone[0]
    document["devices"] = [device for device in document["devices"] if device["address"] != gone]
    path = tmp_path / "inventory.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(UserError, match=f"{gone} is not among the devices; make the inventory"):
        store.load(path)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        store.load(tmp_path / "none.yaml")
