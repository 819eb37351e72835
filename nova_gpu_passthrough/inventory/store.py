# SPDX-License-Identifier: Apache-2.0
"""Inventory files: YAML, checked against ``schema-v1.json`` in this folder.

Unknown values are left out, so that the file of a host with 200 PCI functions stays readable.
"""

import enum
from pathlib import Path
from typing import Any

import cattrs
from cattrs import gen

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import documents, generated_files
from nova_gpu_passthrough.inventory.host import Iommu
from nova_gpu_passthrough.inventory.model import Inventory

SCHEMA = "nova-gpu-passthrough/inventory"
VERSION = 1

_converter = cattrs.Converter(omit_if_default=True)
# YAML has neither tuples nor enumerations, not even those that are strings.
_converter.register_unstructure_hook(enum.StrEnum, str)
_converter.register_unstructure_hook(
    tuple, lambda items: [_converter.unstructure(i) for i in items]
)

_converter.register_unstructure_hook(
    Iommu,
    gen.make_dict_unstructure_fn(
        Iommu, _converter, _cattrs_omit_if_default=True, known=gen.override(rename="told")
    ),
)
_converter.register_structure_hook(
    Iommu, gen.make_dict_structure_fn(Iommu, _converter, known=gen.override(rename="told"))
)


def to_document(inventory: Inventory) -> dict[str, Any]:
    """Return an inventory as plain data."""
    return {"schema": SCHEMA, "version": VERSION, **_converter.unstructure(inventory)}


def dump(inventory: Inventory, command: str) -> str:
    """Return the text of an inventory file.

    :param command: the command that made it, for the head of the file
    """
    return generated_files.seal(documents.dump(to_document(inventory)), command)


def load(path: Path) -> Inventory:
    """Read an inventory file.

    :raises UserError: if the file is no inventory, or a GPU is not among the devices
    """
    rules = documents.schema(__package__, f"schema-v{VERSION}.json")
    document = documents.load(path, f"an inventory of version {VERSION}", rules)
    del document["schema"], document["version"]
    inventory = _converter.structure(document, Inventory)
    for gpu in inventory.gpus:
        for address in (gpu.address, *gpu.companions):
            if address not in inventory.by_address:
                raise UserError(
                    f"{path}: key gpus: {address} is not among the devices; "
                    "make the inventory again with: nova-gpu host audit --write"
                )
    return inventory
