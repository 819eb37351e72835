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

# libyaml is ten times as fast, but PyYAML may be built without it.
_BaseLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Loader(_BaseLoader):
    """A loader that refuses duplicate keys: YAML forbids them, PyYAML uses the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                name = (key.tag, key.value)
                if name in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key {key.value} is there twice", key.start_mark
                    )
                seen.add(name)
        result: dict[Any, Any] = super().construct_mapping(node, deep)
        return result


@functools.cache
def schema(package: str, name: str) -> Mapping[str, Any]:
    """Return a JSON schema that is shipped as package data."""
    text = resources.files(package).joinpath(name).read_text(encoding="utf-8")
    result: Mapping[str, Any] = json.loads(text)
    return result


def read_text(path: Path) -> str:
    """Read a UTF-8 text file.

    :raises UserError: if it cannot be read
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; name a readable file") from None
    except ValueError:
        raise UserError(f"{path} is not UTF-8 text; is it the right file?") from None


def load(path: Path, description: str, rules: Mapping[str, Any]) -> dict[str, Any]:
    """Read a YAML document and check it against a JSON schema.

    :param description: what the document is, for messages, such as "an inventory"
    :raises UserError: with file, line and key, if it does not match the schema
    """
    text = read_text(path)
    try:
        document = yaml.load(text, _Loader)
        validator = jsonschema.Draft202012Validator(rules)
        worst = jsonschema.exceptions.best_match(validator.iter_errors(document))
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
    except RecursionError:
        raise UserError(f"{path}: nested too deeply; expected {description} in YAML") from None
    if worst is not None:
        line = _line_of(text, _path_to(worst))
        raise UserError(f"{path}:{line}: {_sentence(worst)}; expected {description}")
    result: dict[str, Any] = document
    return result


def location(path: Path, keys: Sequence[str | int]) -> str:
    """Return the location of a key for a message: ``fleet.yaml:7: key groups[0].name``.

    The line is left out if the file cannot be read again.

    :param keys: the names of keys and indices of the path to it
    """
    try:
        line = f":{_line_of(read_text(path), keys)}"
    except (UserError, yaml.YAMLError):
        line = ""
    return f"{path}{line}: key {_dotted(keys)}"


def dump(document: Mapping[str, Any]) -> str:
    """Return plain data as YAML text, with the keys in the given order."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def _sentence(error: jsonschema.ValidationError) -> str:
    """Return a schema error as a sentence for the user who edits the file."""
    key = _dotted(error.absolute_path)
    message, value = error.message, error.instance
    if isinstance(value, str) and len(value) > 80:
        # The message begins with the value, and what is expected follows.
        message = message.replace(repr(value), f"{value[:60]!r}...")
    if len(message) > 200:
        message = f"{message[:200]}..."
    return f"key {key}: {message}" if key else message


def _dotted(keys: Iterable[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in keys).lstrip(
        "."
    )


def _path_to(error: jsonschema.ValidationError) -> list[str | int]:
    """Return the path to the error: of an unexpected key, not of the mapping that has it."""
    path = list(error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        rules: Any = error.schema
        known = rules.get("properties", {})
        path += [str(key) for key in error.instance if key not in known][:1]
    return path


def _line_of(text: str, path: Iterable[str | int]) -> int:
    """Return the line (from 1) of a path of keys and indices."""
    node = yaml.compose(text, _Loader)
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
