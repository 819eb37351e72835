# SPDX-License-Identifier: Apache-2.0
"""YAML documents with a JSON schema; errors name the line and the key."""

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from nova_gpu_passthrough.errors import UserError

# libyaml is ten times as fast; PyYAML has it wherever it was built with it.
_BaseLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Loader(_BaseLoader):
    """Refuses a key that is there twice: YAML forbids it, PyYAML would take the last in silence."""

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
    """A JSON schema that is shipped as package data."""
    text = resources.files(package).joinpath(name).read_text(encoding="utf-8")
    result: Mapping[str, Any] = json.loads(text)
    return result


def read_text(path: Path) -> str:
    """A UTF-8 text file.

    :raises UserError: if it cannot be read
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; name a readable file") from None
    except ValueError:
        raise UserError(f"{path} is no text in UTF-8; is it the right file?") from None


def load(path: Path, kind: str, rules: Mapping[str, Any]) -> dict[str, Any]:
    """Read a YAML document and check it against a JSON schema.

    :param kind: what it is to people, such as "an inventory"
    :raises UserError: with file, line and key, if it is not what the schema says
    """
    text = read_text(path)
    try:
        document = yaml.load(text, _Loader)
        validator = jsonschema.Draft202012Validator(rules)
        worst = jsonschema.exceptions.best_match(validator.iter_errors(document))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        reason = ", ".join(filter(None, (error.context, error.problem)))
        raise UserError(f"{path}:{line}: {reason}; expected {kind} in YAML") from None
    except yaml.reader.ReaderError:
        line = _line_of_control_character(text)
        raise UserError(f"{path}:{line}: a control character; expected {kind} in YAML") from None
    except (yaml.YAMLError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: {reason}; expected {kind} in YAML") from None
    except RecursionError:
        raise UserError(f"{path}: nested too deeply; expected {kind} in YAML") from None
    if worst is not None:
        line = _line_of(text, _place(worst))
        raise UserError(f"{path}:{line}: {_sentence(worst)}; expected {kind}")
    result: dict[str, Any] = document
    return result


def place(path: Path, keys: Sequence[str | int]) -> str:
    """Where in a file a key is, for a message about it: ``fleet.yaml:7: key groups[0].name``.

    Without the line, if the file is not what it was when it was read.

    :param keys: names of keys and indices that lead to it
    """
    try:
        line = f":{_line_of(read_text(path), keys)}"
    except (UserError, yaml.YAMLError):
        line = ""
    return f"{path}{line}: key {_dotted(keys)}"


def dump(document: Mapping[str, Any]) -> str:
    """YAML text of plain data, keys in the order given."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def _sentence(error: jsonschema.ValidationError) -> str:
    """A schema error in the words of somebody who edits the file."""
    key = _dotted(error.absolute_path)
    message, found = error.message, error.instance
    if isinstance(found, str) and len(found) > 80:
        # What is expected comes after what was found.
        message = message.replace(repr(found), f"{found[:60]!r}...")
    if len(message) > 200:
        message = f"{message[:200]}..."
    return f"key {key}: {message}" if key else message


def _dotted(keys: Iterable[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in keys).lstrip(
        "."
    )


def _place(error: jsonschema.ValidationError) -> list[str | int]:
    """Where the error is: at the key that should not be there, not at what holds it."""
    place = list(error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        rules: Any = error.schema
        known = rules.get("properties", {})
        place += [str(key) for key in error.instance if key not in known][:1]
    return place


def _line_of(text: str, path: Iterable[str | int]) -> int:
    """The line (from 1) of what a path of keys and indices leads to."""
    node = yaml.compose(text, _Loader)
    mark = node.start_mark if node else None
    for part in path:
        if isinstance(node, yaml.MappingNode):
            # The line of the key: a value that is a block begins on the next one.
            found = [(key.start_mark, value) for key, value in node.value if key.value == str(part)]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            found = [(value.start_mark, value) for value in node.value[part : part + 1]]
        else:
            break
        if not found:
            break
        mark, node = found[0]
    return mark.line + 1 if mark else 1


def _line_of_control_character(text: str) -> int:
    found = yaml.reader.Reader.NON_PRINTABLE.search(text)
    return text.count("\n", 0, found.start()) + 1 if found else 1
