# SPDX-License-Identifier: Apache-2.0
"""An error of a JSON schema as a sentence for the user who edits the file."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jsonschema

from nova_gpu_passthrough.errors import did_you_mean

_TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "nothing",
    "number": "a number",
    "object": "a mapping of keys to values",
    "string": "a text",
}
_MOST = 80


def find(document: object, rules: Mapping[str, Any]) -> jsonschema.ValidationError | None:
    """Return the error of a document that says most; None if it matches the schema."""
    validator = jsonschema.Draft202012Validator(rules)
    worst: jsonschema.ValidationError | None = jsonschema.exceptions.best_match(
        validator.iter_errors(document)
    )
    return worst


def sentence(error: jsonschema.ValidationError) -> str:
    """Return the key, what is wrong with it, and what was expected."""
    if error.instance is None and not error.absolute_path and error.validator == "type":
        return "the file is empty"
    describe = _SENTENCES.get(str(error.validator))
    text = describe(error) if describe else _short(error.message)
    return f"key {dotted(error.absolute_path)}: {text}" if error.absolute_path else text


def dotted(keys: Iterable[str | int]) -> str:
    """Return a path of keys and indices as one text, such as ``groups[0].name``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in keys).lstrip(
        "."
    )


def unknown_keys(error: jsonschema.ValidationError) -> list[str]:
    """Return the keys that a schema without additional properties does not know."""
    if error.validator != "additionalProperties" or not isinstance(error.instance, Mapping):
        return []
    rules: Any = error.schema
    known = rules.get("properties", {})
    return [str(key) for key in error.instance if key not in known]


def _unknown(error: jsonschema.ValidationError) -> str:
    rules: Any = error.schema
    known = list(rules.get("properties", {}))
    key = unknown_keys(error)[0]
    hint = did_you_mean(key, known) or f"; the keys are {', '.join(known)}"
    return f"unknown key {key}{hint}"


def _missing(error: jsonschema.ValidationError) -> str:
    required: Any = error.validator_value
    given: Any = error.instance
    return f"there is no key {next(key for key in required if key not in given)}"


def _type(error: jsonschema.ValidationError) -> str:
    types: Any = error.validator_value
    names = [types] if isinstance(types, str) else types
    return _expected(error, _either(_TYPES.get(name, name) for name in names))


def _enum(error: jsonschema.ValidationError) -> str:
    values: Any = error.validator_value
    texts = list(dict.fromkeys(map(_value, values)))
    return _expected(error, _either(texts)) + did_you_mean(_value(error.instance), texts)


def _expected(error: jsonschema.ValidationError, expected: object) -> str:
    value = error.instance
    # In quotes, a text that looks like a number is not taken for one.
    text = repr(value) if isinstance(value, str) else _value(value)
    return f"must be {expected}, not {_short(text)}"


def _bound(words: str) -> Callable[[jsonschema.ValidationError], str]:
    return lambda error: _expected(error, f"{words} {error.validator_value}")


def _count(noun: str) -> Callable[[jsonschema.ValidationError], str]:
    def describe(error: jsonschema.ValidationError) -> str:
        words = "at least" if str(error.validator).startswith("min") else "at most"
        instance: Any = error.instance
        return f"it has {len(instance)} {noun}, expected {words} {error.validator_value}"

    return describe


_SENTENCES: Mapping[str, Callable[[jsonschema.ValidationError], str]] = {
    "additionalProperties": _unknown,
    "const": lambda error: _expected(error, _value(error.validator_value)),
    "enum": _enum,
    "exclusiveMinimum": _bound("more than"),
    "maxItems": _count("items"),
    "maxLength": _count("characters"),
    "maximum": _bound("at most"),
    "minItems": _count("items"),
    "minLength": _count("characters"),
    "minProperties": _count("keys"),
    "minimum": _bound("at least"),
    "required": _missing,
    "type": _type,
    "uniqueItems": lambda error: "it has an item twice",
}


def _value(value: object) -> str:
    """Return a value as YAML has it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _either(texts: Iterable[str]) -> str:
    *others, last = texts
    return f"{', '.join(others)} or {last}" if others else last


def _short(text: str) -> str:
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."
