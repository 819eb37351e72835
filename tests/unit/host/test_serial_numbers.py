# SPDX-License-Identifier: Apache-2.0
"""Serial numbers: where they are read, what is none, and hashes in their place."""

import dataclasses
import struct

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host import audit, config_space, serial_numbers
from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.inventory.pci import Role
from tests.trees import defects, write
from tests.unit.audited import HGX, audit_machine
from tests.unit.generate import builders

GPU, NIC = "0000:18:00.0", "0000:19:00.0"
DSN = 0x48B02DFFFE123456


def resource(tag, data):
    return struct.pack("<BH", tag, len(data)) + data


def keyword(name, text):
    return name + bytes([len(text)]) + text


def vpd(*keywords):
    return resource(0x82, b"Adapter") + resource(0x90, b"".join(keywords)) + b"\x78"


VPD = vpd(keyword(b"PN", b"900-1"), keyword(b"SN", b"MT2345X00001 \0"), keyword(b"RV", b"\x17"))


@pytest.fixture
def host(tmp_path):
    """Write a host's files, with others below them; return the audit's sources."""

    def written(files=(), machine=HGX, full_config=False):
        root = tmp_path / f"tree-{full_config}"
        write(machine, root, full_config)
        for path, content in dict(files).items():
            (root / "sys" / path).write_bytes(content)
        return audit.AuditSources(root=root)

    return written


def serials(inventory):
    return {device.address: device.serial for device in inventory.devices if device.serial}


def test_the_machine_s_are_in_dmi(host):
    files = {
        "class/dmi/id/product_serial": b"S432109X\n",
        "class/dmi/id/chassis_serial": b" C1 \n",
        "class/dmi/id/board_serial": b"To Be Filled By O.E.M.\n",
    }
    machine = audit.audit(host(files)).machine
    assert (machine.serial, machine.chassis_serial, machine.board_serial) == (
        "S432109X",
        "C1",
        None,
    )


def test_without_privileges_they_are_unknown_and_that_is_no_finding(host):
    inventory = audit.audit(host())
    assert inventory.machine.serial is None
    assert serials(inventory) == {}
    assert not [finding for finding in inventory.findings if finding.id == "read.unusable"]


def test_a_card_s_number_is_that_of_its_label(host):
    sources = host(
        {f"bus/pci/devices/{NIC}/vpd": VPD, f"bus/pci/devices/{GPU}/unique_id": b"0x1f2e\n"}
    )
    assert serials(audit.audit(sources)) == {NIC: "MT2345X00001", GPU: "0x1f2e"}
    (sources.root / f"sys/bus/pci/devices/{GPU}/serial_number").write_text("692231001085\n")
    assert serials(audit.audit(sources))[GPU] == "692231001085"


def test_the_capability_is_read_by_root(host):
    machine = HGX.alter(GPU, NIC, serial=DSN)
    assert serials(audit.audit(host(machine=machine))) == {}
    found = serials(audit.audit(host(machine=machine, full_config=True)))
    assert found == dict.fromkeys((GPU, NIC), "48-b0-2d-ff-fe-12-34-56")


def test_other_functions_and_vfs_have_none(host):
    machine = defects.virtual_functions(HGX.alter(GPU, driver="nvidia"), GPU, 2)
    bridge = audit_machine(HGX).by_address[GPU].bridges[0]
    files = {f"bus/pci/devices/{name}/vpd": VPD for name in (bridge, "0000:18:00.2")}
    inventory = audit.audit(host(files, machine))
    assert inventory.by_address["0000:18:00.2"].role is Role.GPU
    assert serials(inventory) == {}


@pytest.mark.parametrize(
    "text",
    ["", "0", "0000000000", "None", "N/A", "Not Specified", "Default string", "Chassis Serial",
     "System Serial Number", "To be filled by O.E.M.", "0123456789", "123456789ABC", "OEM", "  ",
     "xxxxxxx", "........", "ff-ff-ff-ff-ff-ff-ff-ff", "00-00-00-00-00-00-00-00"],
)  # fmt: skip
def test_placeholders_are_no_numbers(text):
    assert serial_numbers.usable(text) is None


@pytest.mark.parametrize("text", ["S432109X", "1650923000001", "00000001", "CZ2-0-N/A", "F00D"])
def test_numbers_are_no_placeholders(text):
    assert serial_numbers.usable(f" {text}\n") == text


@pytest.mark.parametrize(
    "data",
    [b"", b"\x78", b"\x82", b"\x82\xff\xff", resource(0x90, b"SN"), resource(0x90, b"SN\x05ab")[:4],
     resource(0x82, b"SN\x02ab"), resource(0x90, b""), bytes(4096), b"\xff" * 4096, b"\x07" * 9],
)  # fmt: skip
def test_garbled_product_data(data):
    assert not serial_numbers.usable(serial_numbers.of_vpd(data))


def test_product_data_without_a_name():
    assert (
        serial_numbers.of_vpd(b"\x08" + resource(0x90, keyword(b"SN", b"\xffA\x1b1"))) == "\ufffdA1"
    )


def test_a_truncated_capability():
    config = bytearray(0x10C)
    struct.pack_into("<IQ", config, 0x100, 0x00010003, DSN)
    assert config_space.serial_number(bytes(config)) == "48-b0-2d-ff-fe-12-34-56"
    assert config_space.serial_number(bytes(config[:-1])) is None
    assert config_space.serial_number(bytes(64)) is None


def test_nvidia_smi_knows_those_of_gpus(host, tmp_path):
    text = "Attached GPUs : 2\n"
    for address, number in ((GPU, "1650923000001"), ("0000:2a:00.0", "N/A")):
        text += f"\nGPU 0000{address.upper()}\n    Product Name : NVIDIA H100\n"
        text += f"    Serial Number : {number}\n    Chassis Serial Number : C7\n"
    saved = tmp_path / "q.txt"
    saved.write_text(text)
    sources = dataclasses.replace(host(), link_outputs=[saved])
    assert serials(audit.audit(sources)) == {GPU: "1650923000001"}
    saved.write_text(f"index, pci.bus_id, serial\n0, 0000{GPU}, 1650923000001\n")
    assert serials(audit.audit(sources)) == {GPU: "1650923000001"}


def numbered():
    inventory = builders.l40s("l40s1", 2)
    machine = dataclasses.replace(inventory.machine, serial="S1", board_serial="B1")
    return serial_numbers.complete(
        dataclasses.replace(inventory, machine=machine), {"0000:41:00.0": "1650923000001"}
    )


def test_hashes_are_stable_and_depend_on_the_key():
    once = serial_numbers.hashed(numbered(), b"k" * 32)
    assert serial_numbers.hashed(numbered(), b"k" * 32) == once
    assert serial_numbers.hashed(once, b"other" * 9) == once
    other = serial_numbers.hashed(numbered(), b"l" * 32)
    # RFC 2104, computed by openssl dgst -sha256 -mac hmac.
    assert serials(once) == {"0000:41:00.0": "hmac-7f62b001125770b5"}
    assert serials(other) != serials(once)
    assert once.machine.serial.startswith("hmac-")
    assert once.machine.chassis_serial is None
    assert "1650923000001" not in store.dump(once, "x")


@pytest.mark.parametrize("key", [b"", b"short", b" " * 40 + b"fifteen bytes..\n"])
def test_a_key_that_could_be_guessed(tmp_path, key):
    file = tmp_path / "key"
    file.write_bytes(key)
    with pytest.raises(UserError, match=r"expected a key of at least 16 random bytes; make one"):
        serial_numbers.read_key(file)


def test_numbers_survive_the_inventory_file(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(store.dump(numbered(), "x"))
    assert store.load(file) == numbered()
    again = audit.audit(audit.AuditSources(inventory=file, serial_key=b"k" * 32))
    assert serials(again) == serials(serial_numbers.hashed(numbered(), b"k" * 32))
    assert again.machine.board_serial.startswith("hmac-")


def test_an_audit_without_them_is_unchanged():
    assert "serial" not in store.dump(audit_machine(HGX), "x")
