# SPDX-License-Identifier: Apache-2.0
"""The parser of ``pci_passthrough:alias``, compared with Nova's."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nova import exception, objects
from nova.api.validation.extra_specs import validators
from nova.pci import request

from nova_gpu_passthrough.nova_rules import alias_string
from nova_gpu_passthrough.nova_rules.alias_string import AliasCount, InvalidAliasStringError

NAMES = ("a", "b", "gpu h100")


def nova_answer(text, monkeypatch):
    """Return how Nova parses the value; None if its API or its parser refuses it."""
    monkeypatch.setattr(request, "get_alias_from_config", lambda: dict.fromkeys(NAMES, (None, [])))
    objects.register_all()
    try:
        validators.validate("pci_passthrough:alias", text)
        found = request._translate_alias_to_requests(text)
    except (exception.ValidationError, ValueError):
        return None
    return tuple(AliasCount(one.alias_name, one.count) for one in found)


@pytest.fixture(scope="module")
def monkeypatch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


PARTS = st.sampled_from(["a", "b", "gpu h100", ":", ",", " ", "\t", "0", "1", "12", "²", "١", "-"])


@given(st.lists(PARTS, max_size=9).map("".join))
@example("a:1,,b:2")
@example("a:1:2")
@example("a:0")
@example("a:²")
@example("a:١")
@example("a:1, b:2")
@example("a:1 ,b:2")
@example("a: 1")
@example("a:1 ")
@example("a:1,")
@example("")
def test_results_agree_with_nova(monkeypatch, text):
    try:
        expected = nova_answer(text, monkeypatch)
    except exception.PciRequestAliasNotDefined:
        return  # Nova stopped at an unknown alias, before it checked the rest of the text.
    if expected is None:
        with pytest.raises(InvalidAliasStringError):
            alias_string.parse(text)
    else:
        assert alias_string.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:1", [("a", 1)]),
        ("a:2,b:1", [("a", 2), ("b", 1)]),
        ("a:1, b:2", [("a", 1), ("b", 2)]),
        ("a:1,a:2", [("a", 1), ("a", 2)]),
        ("a:0", [("a", 0)]),
    ],
)
def test_aliases_are_in_order(text, expected):
    assert alias_string.parse(text) == tuple(expected)


@pytest.mark.parametrize("text", ["", "a", "a:", ":1", "a:x", "a:1,,b:2", "a:1:2", "a:²", "a:1,"])
def test_invalid_values_raise(text):
    with pytest.raises(InvalidAliasStringError, match="is not <alias>:<count>"):
        alias_string.parse(text)


def test_a_flavor_without_aliases_requests_none():
    assert alias_string.read({}) == ()
    assert alias_string.read({alias_string.EXTRA_SPEC: "a:1"}) == (("a", 1),)
    with pytest.raises(InvalidAliasStringError):
        alias_string.read({alias_string.EXTRA_SPEC: ""})


def test_formatted_values_are_parsed_back():
    requests = [("a", 2), ("gpu h100", 1), ("a", 1)]
    assert alias_string.to_text(requests) == "a:2,gpu h100:1,a:1"
    assert alias_string.parse(alias_string.to_text(requests)) == tuple(requests)
