# SPDX-License-Identifier: Apache-2.0
"""Serial numbers of a host and its cards: where they are, and keyed hashes in their place.

Firmware gives those of machine, chassis and board (DMI), a card its own in its vital product data
(PCI Local Bus Specification 3.0, appendix I) or in the capability Device Serial Number. The kernel
lets only root read all of these. The driver amdgpu shows a card's to everyone.
"""

import dataclasses
import hashlib
import hmac
import re
import struct
from collections.abc import Mapping
from pathlib import Path

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import reading
from nova_gpu_passthrough.host import config_space
from nova_gpu_passthrough.host.root import Root
from nova_gpu_passthrough.inventory.host import Machine
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import Role

#: What the kernel's files of cards are named, the number on the label first (amdgpu_fru_eeprom.c).
_DRIVER_FILES = ("serial_number", "unique_id")
_DMI = "/sys/class/dmi/id"
#: Cards whose serial numbers are read; reading those of all functions would take too long.
ROLES = frozenset((Role.GPU, Role.NIC, Role.NVSWITCH))
#: What firmware contains where the vendor forgot the number.
_PLACEHOLDERS = re.compile(
    r"[0 .x*\-_]*|[f.:\- ]*|n/?a|none|null|unknown|default string|to be filled.*|not (specified|"
    r"available|applicable).*|(system|chassis|base ?board|board)? ?serial ?(number)?|0?123456789.*|"
    r"oem|o\.e\.m\.|invalid|empty",
    re.IGNORECASE,
)
_MAX_LENGTH = 64
#: The beginning of a hash, so that it is never taken for a number.
_HASHED = "hmac-"
_MIN_KEY = 16
# Tags of resources in vital product data: large ones have a length of two bytes.
_LARGE, _VPD_R, _END = 0x80, 0x90, 0x78


def usable(text: str | None) -> str | None:
    """Return a serial number without surrounding blanks; None if the text is a placeholder."""
    number = " ".join((text or "").split())[:_MAX_LENGTH]
    return None if _PLACEHOLDERS.fullmatch(number) else number


def read_machine(root: Root, machine: Machine) -> Machine:
    """Return the machine with its serial numbers, as far as the user may read them."""
    return dataclasses.replace(
        machine,
        serial=usable(root.private_text(f"{_DMI}/product_serial")),
        chassis_serial=usable(root.private_text(f"{_DMI}/chassis_serial")),
        board_serial=usable(root.private_text(f"{_DMI}/board_serial")),
    )


def read_card(root: Root, folder: str) -> str | None:
    """Return the serial number of a PCI function, the number on the card's label if possible."""
    for name in _DRIVER_FILES:
        if number := usable(root.private_text(f"{folder}/{name}")):
            return number
    vpd = root.private_data(f"{folder}/vpd", 4096)
    config = root.private_data(f"{folder}/config", 4096)
    return usable(of_vpd(vpd or b"")) or usable(config_space.serial_number(config or b""))


def of_vpd(data: bytes) -> str | None:
    """Return the value of the keyword SN in vital product data; None if there is none."""
    offset = 0
    while offset + 3 <= len(data) and data[offset] != _END:
        tag = data[offset]
        if not tag & _LARGE:
            offset += 1 + (tag & 0x7)
            continue
        (length,) = struct.unpack_from("<H", data, offset + 1)
        if tag == _VPD_R:
            return _keyword(data[offset + 3 : offset + 3 + length], b"SN")
        offset += 3 + length
    return None


def _keyword(data: bytes, keyword: bytes) -> str | None:
    offset = 0
    while offset + 3 <= len(data):
        length = data[offset + 2]
        if data[offset : offset + 2] == keyword:
            text = data[offset + 3 : offset + 3 + length].decode("ascii", errors="replace")
            return "".join(character for character in text if character.isprintable())
        offset += 3 + length
    return None


def complete(inventory: Inventory, known: Mapping[str, str]) -> Inventory:
    """Return the inventory with serial numbers from another source where it has none.

    :param known: by PCI address
    """
    devices = tuple(
        dataclasses.replace(device, serial=device.serial or usable(known.get(device.address)))
        for device in inventory.devices
    )
    return dataclasses.replace(inventory, devices=devices)


def read_key(path: Path) -> bytes:
    """Read the key of hashes.

    :raises UserError: if the file cannot be read, or the key is so short that it can be guessed
    """
    key = reading.read_bytes(path).strip()
    if len(key) < _MIN_KEY:
        raise UserError(
            f"--hash-serials {path}: has {len(key)} bytes, expected a key of at least {_MIN_KEY} "
            f"random bytes; make one with: head -c 32 /dev/urandom | base64 > {path}"
        )
    return key


def hashed(inventory: Inventory, key: bytes) -> Inventory:
    """Return the inventory with hashes in place of its serial numbers; hashes are kept."""

    def replaced(number: str | None) -> str | None:
        if number is None or number.startswith(_HASHED):
            return number
        return _HASHED + hmac.new(key, number.encode(), hashlib.sha256).hexdigest()[:16]

    machine = inventory.machine
    return dataclasses.replace(
        inventory,
        machine=dataclasses.replace(
            machine,
            serial=replaced(machine.serial),
            chassis_serial=replaced(machine.chassis_serial),
            board_serial=replaced(machine.board_serial),
        ),
        devices=tuple(
            dataclasses.replace(device, serial=replaced(device.serial)) if device.serial else device
            for device in inventory.devices
        ),
    )
