# SPDX-License-Identifier: Apache-2.0
"""YAML documents, and errors that name the file, the line and the key."""

from itertools import pairwise

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import documents, schema_error

RULES = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer", "minimum": 1},
        "hosts": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"address": {"type": "string", "pattern": "^[0-9]+$"}},
                "required": ["address"],
                "additionalProperties": False,
            },
        },
        "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.fixture
def load(tmp_path):
    """Return a function that loads a text and returns the document or the message."""
    path = tmp_path / "fleet.yaml"

    def load_text(text):
        if isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(text, encoding="utf-8")
        try:
            return documents.load(path, "a fleet file", RULES)
        except UserError as error:
            return str(error).replace(f"{tmp_path}/", "")

    return load_text


def test_a_valid_document(load):
    text = "# comment\nname: Größe\ncount: 2\nhosts:\n  - address: '12'\n"
    assert load(text) == {"name": "Größe", "count": 2, "hosts": [{"address": "12"}]}


@pytest.mark.parametrize(
    ("text", "start", "words"),
    [
        ("name: a\ncount: many\n", "fleet.yaml:2: key count:", "a whole number, not 'many'"),
        ("name: a\n\n\ncount: 0\n", "fleet.yaml:4: key count:", "must be at least 1, not 0"),
        ("name: a\nhosts:\n  - address: '1'\n  - address: x\n",
         "fleet.yaml:4: key hosts[1].address:", "does not match"),
        ("name: a\nhosts:\n  - {}\n", "fleet.yaml:3: key hosts[0]:", "there is no key address"),
        ("name: a\nhosts: none\n", "fleet.yaml:2: key hosts:", "must be a list, not 'none'"),
        ("name: a\nlimits:\n  x: 1\n  y: many\n", "fleet.yaml:4: key limits.y:", "not 'many'"),
        ("name: a\ncount: 1\nextra: 1\n", "fleet.yaml:3:", "unknown key extra"),
        ("name: a\nhosts:\n  - address: '1'\n    port: 2\n", "fleet.yaml:4: key hosts[0]:",
         "unknown key port"),
        ("# x\ncount: 1\n", "fleet.yaml:2:", "there is no key name"),
        ("name: a\nhosts: [{address: '1'}, {address: q}]", "fleet.yaml:2: key hosts[1].address:",
         "match"),
        ("name:\n  a: b\n", "fleet.yaml:1: key name:", "must be a text"),
        ("name: 1\n", "fleet.yaml:1: key name:", "must be a text, not 1"),
    ],
)  # fmt: skip
def test_a_schema_error_names_line_and_key(load, text, start, words):
    message = load(text)
    assert message.startswith(start)
    assert words in message
    assert message.endswith("; expected a fleet file")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("name: [a\ncount: 1\n", "fleet.yaml:2:"),
        ("name: a\n\tcount: 1\n", "fleet.yaml:2:"),
        ("name: 'a\n", "fleet.yaml:2:"),
        ("name: a\nname2: *missing\n", "fleet.yaml:2:"),
        ("name: !!python/object:os.system x\n", "fleet.yaml:1:"),
        ("? [a, b]\n: c\n", "fleet.yaml:1:"),
        ("name: a\n---\nname: b\n", "fleet.yaml:2:"),
        ("name: a\ncount: 1\n\nname: b\n", "fleet.yaml:4:"),
        ("name: a\nhosts:\n  - address: '1'\n    address: '2'\n", "fleet.yaml:4:"),
        ("name: a\x00b\n", "fleet.yaml:1:"),
        ("name: a\ncount: \x07\n", "fleet.yaml:2:"),
    ],
)
def test_a_yaml_error_names_its_line(load, text, start):
    message = load(text)
    assert message.startswith(start)
    assert message.endswith("; expected a fleet file in YAML")
    assert "\n" not in message


def test_a_duplicate_key_is_named(load):
    assert "key name occurs twice" in load("name: a\nname: b\n")


def test_a_merged_key_may_be_overridden(load):
    text = "name: a\nlimits: &l {x: 1}\nhosts: []\n"
    assert load(text)["limits"] == {"x": 1}
    merged = "name: a\nlimits:\n  <<: {x: 1, y: 2}\n  x: 3\n"
    assert load(merged)["limits"] == {"x": 3, "y": 2}


def test_a_duplicate_anchor(load):
    message = load("name: a\nlimits:\n  x: &n 1\n  y: &n 2\n")
    assert message.startswith("fleet.yaml:4: found duplicate anchor")


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null\n"])
def test_an_empty_file(load, text):
    message = load(text)
    assert message.startswith("fleet.yaml:")
    assert "the file is empty" in message


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n", "12\n", "[]\n"])
def test_another_type_at_the_top(load, text):
    message = load(text)
    assert message.startswith("fleet.yaml:1: ")
    assert "must be a mapping of keys to values, not " in message


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\x89PNG\r\n\x1a\n", bytes(range(128, 256))])
def test_a_binary_file(load, data):
    assert load(data) == "fleet.yaml:1: not valid UTF-8; is it the right file?"


@pytest.mark.parametrize(
    "text", ["1: a\nname: b\n", "null: a\nname: b\n", "2026-01-01: x\nname: b\n"]
)
def test_keys_that_are_not_text(load, text):
    message = load(text)
    assert message.startswith("fleet.yaml:1:")
    assert "unknown key " in message


@pytest.mark.parametrize("text", ["[" * 20000, "a: " + "[" * 5000 + "]" * 5000, "- " * 5000])
def test_a_file_that_is_nested_too_deeply(load, text):
    assert load(text) == ("fleet.yaml:1: nested more than 100 deep; expected a fleet file in YAML")


def test_a_document_that_refers_to_its_parts_without_end(load):
    lists = [
        f"{name}: &{name} [{', '.join([f'*{part}'] * 10)}]" for part, name in pairwise("abcdefg")
    ]
    message = load("\n".join(["a: &a [x]", *lists]))
    assert message == (
        "fleet.yaml:6: more than 200,000 values, with those that it refers to; expected a fleet "
        "file in YAML"
    )


def test_a_long_document_may_have_more_values(tmp_path):
    path = tmp_path / "trace.yaml"
    path.write_text(f"tasks: [{'1,' * 200_000}]", encoding="utf-8")
    rules = {"type": "object"}
    with pytest.raises(UserError, match="more than 200,000 values"):
        documents.load(path, "a trace", rules)
    assert len(documents.load(path, "a trace", rules, is_long=True)["tasks"]) == 200_000


def test_a_long_value_is_not_repeated_in_full(load):
    assert len(load(f"name: a\ncount: {'x' * 10000}\n")) < 400


def test_a_document_that_contains_itself(load):
    assert load("&a\nname: *a\n").startswith("fleet.yaml:")


def test_line_ends_of_windows_and_a_byte_order_mark(load):
    assert load("name: a\r\ncount: x\r\n").startswith("fleet.yaml:2:")
    assert load("\ufeffname: a\n") == {"name": "a"}


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(st.text(), PLAIN, max_size=5))
def test_a_dumped_document_is_read_back(tmp_path_factory, document):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(documents.dump(document), encoding="utf-8")
    assert documents.load(path, "anything", {"type": "object"}) == document


def test_keys_stay_in_their_order():
    assert documents.dump({"b": 1, "a": 2}) == "b: 1\na: 2\n"


@given(
    st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode(errors="ignore"))
)
def test_any_file_is_read_or_refused_with_one_line(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    try:
        documents.load(path, "a fleet file", RULES)
    except UserError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)


def test_shipped_schemas_are_found():
    rules = documents.schema("nova_gpu_passthrough.inventory", "schema-v1.json")
    jsonschema.Draft202012Validator.check_schema(rules)


def test_the_message_about_a_long_text_says_what_is_expected(load):
    message = load("x" * 1000)
    assert "must be a mapping of keys to values, not " in message
    assert len(message) < 200


def test_a_location_has_line_and_key(tmp_path):
    path = tmp_path / "fleet.yaml"
    path.write_text("name: x\nhosts:\n  - address: 1\n  - address: 2\n", encoding="utf-8")
    assert documents.location(path, ("hosts", 1, "address")) == f"{path}:4: key hosts[1].address"
    # The line of the nearest existing key.
    assert documents.location(path, ("hosts", 1, "name")) == f"{path}:4: key hosts[1].name"


def test_a_location_in_an_unreadable_file_has_no_line(tmp_path):
    path = tmp_path / "gone.yaml"
    assert documents.location(path, ("a", 0)) == f"{path}: key a[0]"
    path.write_text("a: [", encoding="utf-8")
    assert documents.location(path, ("a", 0)) == f"{path}: key a[0]"


@pytest.mark.parametrize(
    ("rules", "value", "words"),
    [
        ({"enum": ["a", "bc", 3]}, "bd", "must be a, bc or 3, not 'bd'"),
        ({"enum": ["required", "none"]}, "requird", "not 'requird'; did you mean required?"),
        ({"type": ["integer", "null"]}, "7", "must be a whole number or nothing, not '7'"),
        ({"type": "string"}, True, "must be a text, not true"),
        ({"const": 1}, None, "must be 1, not nothing"),
        ({"maximum": 5}, 6, "must be at most 5, not 6"),
        ({"exclusiveMinimum": 0}, 0, "must be more than 0, not 0"),
        ({"minItems": 1}, [], "it has 0 items, expected at least 1"),
        ({"maxLength": 2}, "abc", "it has 3 characters, expected at most 2"),
        ({"uniqueItems": True}, [1, 1], "it has an item twice"),
    ],
)
def test_rules_are_said_in_english(rules, value, words):
    error = schema_error.find({"x": value}, {"properties": {"x": rules}})
    assert schema_error.sentence(error).startswith("key x: ")
    assert schema_error.sentence(error).endswith(words)


def test_a_misspelt_key_is_answered_with_the_right_one(load):
    assert load("name: a\ncuont: 1\n") == "fleet.yaml:2: unknown key cuont; did you mean count?"
