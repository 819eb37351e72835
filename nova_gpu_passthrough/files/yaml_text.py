# SPDX-License-Identifier: Apache-2.0
"""Parse YAML that may be hostile.

A document may refer to its own parts (``*name``), and so be larger than any memory although its
text has ten lines; libyaml ends the process where lists are nested too deeply. So a document is
measured by its events before it is made.
"""

import re
from typing import Any

import yaml

#: Most values (scalars, lists and mappings, with those referred to): an inventory has some 5,000.
MAX_VALUES = 200_000
#: The same for files whose length grows with the number of servers: traces and records of apply.
MAX_VALUES_OF_LISTS = 5_000_000
_MAX_DEPTH = 100
#: YAML 1.1 has numbers to the base 60, such as 1:30, whose value takes quadratic time.
_MAX_DIGITS = 100
_NUMBER = re.compile(r"[-+.0-9][-+._:0-9a-fA-FxeE]*")

#: libyaml is ten times as fast, but PyYAML may be built without it.
LenientLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(LenientLoader):
    """A loader that refuses duplicate keys: YAML forbids them, PyYAML uses the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                name = (key.tag, key.value)
                if name in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key {key.value} occurs twice", key.start_mark
                    )
                seen.add(name)
        result: dict[Any, Any] = super().construct_mapping(node, deep)
        return result


class OversizeError(yaml.MarkedYAMLError):
    """The document is too large or nested too deeply."""


def parse(text: str, max_values: int = MAX_VALUES, loader: Any = Loader) -> Any:
    """Return the document in a text.

    :param max_values: the limit of its values, with those that it refers to
    :param loader: `LenientLoader` for files of other programs that use it
    :raises yaml.YAMLError: if the text is not YAML, or the document is too large or too deep
    :raises ValueError: if a scalar is not what its form says, such as a date
    """
    _measure(text, max_values)
    return yaml.load(text, loader)


def _measure(text: str, max_values: int) -> None:
    """Read a document's events, without keeping them; raise OversizeError at the first too many."""
    #: Values of complete anchored parts; of the open parts, with their anchors.
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, LenientLoader):
        if isinstance(event, yaml.ScalarEvent):
            _check_scalar(event)
            total += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in opened):
                raise _error(event, f"*{event.anchor} is a part of what it refers to")
            # The loader refuses an alias without an anchor.
            total += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, total))
            total += 1
            if len(opened) > _MAX_DEPTH:
                raise _error(event, f"nested more than {_MAX_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor:
                sizes[anchor] = total - before
        if total > max_values:
            raise _error(event, f"more than {max_values:,} values, with those that it refers to")


def _check_scalar(event: yaml.ScalarEvent) -> None:
    # A quoted scalar is no number, unless it has a tag.
    may_be_number = len(event.value) > _MAX_DIGITS and (event.implicit[0] or event.tag)
    if may_be_number and _NUMBER.fullmatch(event.value):
        raise _error(event, f"a number of {len(event.value):,} characters")


def _error(event: Any, problem: str) -> OversizeError:
    return OversizeError(problem=problem, problem_mark=event.start_mark)
