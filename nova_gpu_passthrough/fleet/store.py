# SPDX-License-Identifier: Apache-2.0
"""Fleet files: YAML, checked against ``schema-v1.json`` in this folder."""

import dataclasses
from pathlib import Path

import cattrs

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import documents
from nova_gpu_passthrough.fleet import consistency
from nova_gpu_passthrough.fleet.model import FleetFile

VERSION = 1
#: Keys whose values are OpenStack's texts.
_TEXTS = {"extra_specs", "metadata"}


_converter = cattrs.Converter()


def load(path: Path) -> FleetFile:
    """Read a fleet file; the inventories that it names are not read.

    :raises UserError: with file, line and key, if it is none, or its parts contradict each other
    """
    rules = documents.schema(__package__, f"schema-v{VERSION}.json")
    document = documents.load(path, f"a fleet file of version {VERSION}", rules)
    del document["schema"], document["version"]
    for part in (
        *document["groups"],
        *document.get("flavors", ()),
        *document.get("fixed_flavors", ()),
    ):
        for key in _TEXTS & part.keys():
            part[key] = {name: _spelled(value) for name, value in part[key].items()}
    file = dataclasses.replace(_converter.structure(document, FleetFile), path=path)
    for keys, text in consistency.contradictions(file):
        raise UserError(f"{place(file, *keys)}: {text}")
    return file


def place(file: FleetFile, *keys: str | int) -> str:
    """Where a key is, for a message about it: ``fleet.yaml:7: key groups[0].name``.

    :param keys: names of keys and indices that lead to it
    """
    return documents.place(file.path, keys)


def _spelled(value: str | float | bool) -> str:
    """A value as OpenStack spells it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
