# SPDX-License-Identifier: Apache-2.0
"""YAML that is hostile, or only unusual."""

import time
from itertools import pairwise

import pytest
import yaml

from nova_gpu_passthrough.files import yaml_text

NAMES = "abcdefghijklmnopqrstuvwxyz"


def references(first, following):
    """Return a document whose every key refers ten times to the one before."""
    lines = [f"a: &a {first}"]
    lines += [
        f"{name}: &{name} {following % ', '.join([f'*{part}'] * 10)}"
        for part, name in pairwise(NAMES)
    ]
    return "\n".join(lines)


def refuse(text, **limits):
    """Return the problem and its line."""
    started = time.process_time()
    with pytest.raises(yaml_text.OversizeError) as caught:
        yaml_text.parse(text, **limits)
    assert time.process_time() - started < 1
    return caught.value.problem, caught.value.problem_mark.line + 1


def test_a_billion_laughs():
    problem, line = refuse(references("[lol]", "[%s]"))
    assert problem == "more than 200,000 values, with those that it refers to"
    assert line == 6


def test_a_billion_merged_keys():
    assert refuse(references("{x: 1}", "{<<: [%s]}"))[0].startswith("more than 200,000 values")


def test_references_to_one_scalar():
    problem, _ = refuse("a: &a x\nb: [" + "*a, " * 300_000 + "]")
    assert problem.startswith("more than 200,000 values")


def test_anchors_that_are_used_as_people_do():
    text = "base: &base {pages: 1G, cpus: [1, 2]}\none: {<<: *base}\ntwo: [*base, *base]\n"
    base = {"pages": "1G", "cpus": [1, 2]}
    assert yaml_text.parse(text) == {"base": base, "one": base, "two": [base, base]}


@pytest.mark.parametrize("text", ["&a [*a]", "a: &a {b: [1, *a]}", "&a {? *a : 1}"])
def test_a_part_that_contains_itself(text):
    assert refuse(text) == ("*a is a part of what it refers to", 1)


@pytest.mark.parametrize(
    "text", ["[" * 1_000_000, "- " * 100_000, "{a: " * 100_000, "? " * 100_000]
)
def test_nesting(text):
    # libyaml ends the process with a million brackets.
    assert refuse(text) == ("nested more than 100 deep", 1)


@pytest.mark.parametrize(
    "number", ["1" * 1_000_000, "1" + ":1" * 500_000, "0x" + "f" * 1_000_000, "1." + "1" * 101]
)
def test_numbers_without_end(number):
    problem, line = refuse(f"# x\na: {number}")
    assert (problem, line) == (f"a number of {len(number):,} characters", 2)
    assert yaml_text.parse(f"a: '{number}'") == {"a": number}


def test_a_tag_makes_no_number_of_a_long_text():
    assert refuse(f"!!int '{'1' * 1000}'") == ("a number of 1,000 characters", 1)


def test_the_limit_is_exact():
    assert yaml_text.parse("[1, 2]", max_values=3) == [1, 2]
    assert refuse("[1, 2]", max_values=2)[0].startswith("more than 2 values")


def test_an_alias_without_an_anchor_is_yaml_s_own_error():
    with pytest.raises(yaml.composer.ComposerError, match="undefined alias"):
        yaml_text.parse("a: *b")
