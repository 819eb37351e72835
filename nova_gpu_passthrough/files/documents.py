# SPDX-License-Identifier: Apache-2.0
"""Read YAML documents against a JSON schema; errors name the line and the key."""

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import reading, schema_error, yaml_text

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@functools.cache
def schema(package: str, name: str) -> Mapping[str, Any]:
    """Return a JSON schema that is shipped as package data."""
    text = resources.files(package).joinpath(name).read_text(encoding="utf-8")
    result: Mapping[str, Any] = json.loads(text)
    return result


def load(
    path: Path,
    description: str,
    rules: Mapping[str, Any],
    is_long: bool = False,
) -> dict[str, Any]:
    """Read a YAML document and check it against a JSON schema.

    :param description: what the document is, for messages, such as "an inventory"
    :param is_long: whether its length grows with the number of servers
    :raises UserError: with file, line and key, if it does not match the schema
    """
    text = reading.read_text(path, reading.MAX_BYTES_OF_LISTS if is_long else reading.MAX_BYTES)
    try:
        document = yaml_text.parse(
            text, yaml_text.MAX_VALUES_OF_LISTS if is_long else yaml_text.MAX_VALUES
        )
        worst = schema_error.find(document, rules)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        reason = ", ".join(filter(None, (error.context, error.problem)))
        raise UserError(f"{path}:{line}: {reason}; expected {description} in YAML") from None
    except yaml.reader.ReaderError:
        line = _line_of_control_character(text)
        raise UserError(
            f"{path}:{line}: control character; expected {description} in YAML"
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: {reason}; expected {description} in YAML") from None
    if worst is not None:
        line = _line_of(text, _path_to(worst))
        problem = schema_error.sentence(worst)
        # A file with a key or value that is almost right is not another file.
        expected = "" if problem.endswith("?") else f"; expected {description}"
        raise UserError(f"{path}:{line}: {problem}{expected}")
    result: dict[str, Any] = document
    return result


def location(path: Path, keys: Sequence[str | int]) -> str:
    """Return the location of a key for a message: ``fleet.yaml:7: key groups[0].name``.

    The line is left out if the file cannot be read again.

    :param keys: the names of keys and indices of the path to it
    """
    try:
        line = f":{_line_of(reading.read_text(path, reading.MAX_BYTES_OF_LISTS), keys)}"
    except (UserError, yaml.YAMLError):
        line = ""
    return f"{path}{line}: key {schema_error.dotted(keys)}"


def dump(document: Mapping[str, Any]) -> str:
    """Return plain data as YAML text, with the keys in the given order."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def _path_to(error: jsonschema.ValidationError) -> list[str | int]:
    """Return the path to the error: of an unexpected key, not of the mapping that has it."""
    return [*error.absolute_path, *schema_error.unknown_keys(error)[:1]]


def _line_of(text: str, path: Iterable[str | int]) -> int:
    """Return the line (from 1) of a path of keys and indices."""
    node = yaml.compose(text, yaml_text.Loader)
    mark = node.start_mark if node else None
    for step in path:
        if isinstance(node, yaml.MappingNode):
            # The line of the key, since a block value begins on the next line.
            matches = [
                (key.start_mark, value) for key, value in node.value if key.value == str(step)
            ]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            matches = [(value.start_mark, value) for value in node.value[step : step + 1]]
        else:
            break
        if not matches:
            break
        mark, node = matches[0]
    return mark.line + 1 if mark else 1


def _line_of_control_character(text: str) -> int:
    match = yaml.reader.Reader.NON_PRINTABLE.search(text)
    return text.count("\n", 0, match.start()) + 1 if match else 1
