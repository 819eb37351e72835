# SPDX-License-Identifier: Apache-2.0
"""Read fleet files: YAML, checked against ``schema-v1.json`` in this folder."""

import dataclasses
from pathlib import Path

import cattrs

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import documents
from nova_gpu_passthrough.fleet import consistency, settings
from nova_gpu_passthrough.fleet.model import FleetFile
from nova_gpu_passthrough.fleet.settings import Settings

VERSION = 1
#: Keys whose values are strings in OpenStack, whatever their type in YAML.
_TEXTS = {"extra_specs", "metadata"}

_converter = cattrs.Converter()
_converter.register_structure_hook(Settings, lambda values, _: settings.make(values))


def load(path: Path) -> FleetFile:
    """Read a fleet file, but not the inventories that it names.

    :raises UserError: with file, line and key, if the file is invalid or contradicts itself
    """
    rules = documents.schema(__package__, f"schema-v{VERSION}.json")
    document = documents.load(path, f"a fleet file of version {VERSION}", rules)
    del document["schema"], document["version"]
    for section in (
        *document["groups"],
        *document.get("flavors", ()),
        *document.get("fixed_flavors", ()),
    ):
        for key in _TEXTS & section.keys():
            section[key] = {name: _to_text(value) for name, value in section[key].items()}
    file = dataclasses.replace(_converter.structure(document, FleetFile), path=path)
    for keys, text in consistency.contradictions(file):
        raise UserError(f"{location(file, *keys)}: {text}")
    return file


def location(file: FleetFile, *keys: str | int) -> str:
    """Return the location of a key for a message, such as ``fleet.yaml:7: key groups[0].name``.

    :param keys: the path of keys and indices
    """
    return documents.location(file.path, keys)


def _to_text(value: str | float | bool) -> str:
    """Convert a value to a string as OpenStack does."""
    return str(value).lower() if isinstance(value, bool) else str(value)
