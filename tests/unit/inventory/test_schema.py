# SPDX-License-Identifier: Apache-2.0
"""The published schema agrees with the model, field by field."""

import dataclasses
import enum
import re
import typing

import jsonschema
import pytest

from nova_gpu_passthrough.files import documents
from nova_gpu_passthrough.inventory import findings, host, pci, store
from nova_gpu_passthrough.inventory.model import Inventory

RULES = documents.schema("nova_gpu_passthrough.inventory", f"schema-v{store.VERSION}.json")
CLASSES = {
    cls.__name__: cls
    for module in (findings, host, pci)
    for cls in vars(module).values()
    if dataclasses.is_dataclass(cls) and cls.__module__ == module.__name__
}
ADDRESS_FIELDS = {
    ("PciDevice", "address"),
    ("PciDevice", "bridges"),
    ("PciDevice", "physical_function"),
    ("Gpu", "address"),
    ("Gpu", "companions"),
    ("Gpu", "switch"),
    ("Gpu", "peers"),
}
#: Keys of files that differ from the name of the field.
KEYS = {("Iommu", "known"): "told"}
ALL = {**CLASSES, "Inventory": Inventory}


def _rules(name):
    return RULES if name == "Inventory" else RULES["$defs"][name]


def _key(name, field):
    return KEYS.get((name, field.name), field.name)


def _is_optional(field):
    return (
        field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    )


def _expected(hint):
    """Return the rule for a type, without patterns."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return {"type": "array", "items": _expected(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _expected(arguments[1])}
    if arguments:
        return {"anyOf": [_expected(argument) for argument in arguments]}
    if dataclasses.is_dataclass(hint):
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [member.value for member in hint]}
    names = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
    return {"type": names[hint]}


def _without_patterns(rule):
    if isinstance(rule, dict):
        return {key: _without_patterns(value) for key, value in rule.items() if key != "pattern"}
    return [_without_patterns(item) for item in rule] if isinstance(rule, list) else rule


def _patterns(rule):
    """Return all patterns in a rule."""
    if isinstance(rule, dict):
        own = [rule["pattern"]] if "pattern" in rule else []
        return own + [pattern for value in rule.values() for pattern in _patterns(value)]
    return (
        [pattern for item in rule for pattern in _patterns(item)] if isinstance(rule, list) else []
    )


def test_the_schema_is_a_json_schema():
    jsonschema.Draft202012Validator.check_schema(RULES)
    assert RULES["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert RULES["properties"]["schema"] == {"const": store.SCHEMA}
    assert RULES["properties"]["version"] == {"const": store.VERSION}


def test_every_class_has_a_rule_and_every_rule_a_class():
    assert set(RULES["$defs"]) == set(CLASSES)


@pytest.mark.parametrize("name", ALL)
def test_fields_agree(name):
    fields = {_key(name, field) for field in dataclasses.fields(ALL[name])}
    extra = {"schema", "version"} if name == "Inventory" else set()
    assert set(_rules(name)["properties"]) == fields | extra
    assert _rules(name)["type"] == "object"
    assert _rules(name)["additionalProperties"] is False


@pytest.mark.parametrize("name", ALL)
def test_fields_with_a_default_are_not_required(name):
    required = {field.name for field in dataclasses.fields(ALL[name]) if not _is_optional(field)}
    extra = {"schema", "version"} if name == "Inventory" else set()
    assert set(_rules(name)["required"]) == required | extra


@pytest.mark.parametrize("name", ALL)
def test_types_agree(name):
    hints = typing.get_type_hints(ALL[name])
    for field in dataclasses.fields(ALL[name]):
        rule = _without_patterns(_rules(name)["properties"][_key(name, field)])
        assert rule == _expected(hints[field.name]), field.name


@pytest.mark.parametrize(("name", "field"), sorted(ADDRESS_FIELDS))
def test_the_schema_checks_pci_addresses(name, field):
    (pattern,) = _patterns(_rules(name)["properties"][field])
    for good in ("0000:18:00.0", "ffff:ff:1f.7", "10000:01:00.0"):
        assert re.search(pattern, good)
    for bad in ("18:00.0", "0000:18:00.8", "0000:18:00", "0000:18:0.0", "0000:1A:00.0", "x", "",
                "0000:18:00.0 ", "00000:18:00.0\n0000:18:00.0"):  # fmt: skip
        assert not re.search(pattern, bad), bad


def test_the_schema_checks_ids():
    for field, digits in (
        ("class_code", 6),
        ("vendor_id", 4),
        ("product_id", 4),
        ("subsystem_vendor_id", 4),
        ("subsystem_product_id", 4),
    ):
        (pattern,) = _patterns(RULES["$defs"]["PciDevice"]["properties"][field])
        assert re.search(pattern, "a" * digits)
        for bad in ("a" * (digits - 1), "a" * (digits + 1), "A" * digits, "g" * digits):
            assert not re.search(pattern, bad)
