# SPDX-License-Identifier: Apache-2.0
"""Options of a service, before any file format."""

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

_WIDTH = 98


class Option(NamedTuple):
    """One option with all its values; several for one that may be repeated."""

    name: str
    values: tuple[str, ...]
    #: Why, in one or two sentences; empty if the name says it.
    comment: str = ""


class Section(NamedTuple):
    """A section of an INI file."""

    name: str
    options: tuple[Option, ...]


def option(name: str, value: object, comment: str = "") -> Option:
    """An option with one value."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return Option(name, (text,), comment)


def merge(sections: Iterable[Section]) -> tuple[Section, ...]:
    """Sections of the same name as one, options in the order given."""
    merged: dict[str, tuple[Option, ...]] = {}
    for section in sections:
        merged[section.name] = (*merged.get(section.name, ()), *section.options)
    return tuple(Section(name, options) for name, options in merged.items() if options)


def comment(text: str) -> str:
    """Lines that begin with ``#``; paragraphs are separated by an empty line."""
    paragraphs = [
        textwrap.wrap(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False)
        for paragraph in text.split("\n\n")
    ]
    lines = [line for paragraph in paragraphs for line in [*paragraph, ""]]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines[:-1])


def to_ini(sections: Iterable[Section], heading: str = "") -> str:
    """Text in oslo.config's format."""
    parts = [comment(heading)] if heading else []
    for section in merge(sections):
        body = "".join(
            (comment(option.comment) if option.comment else "")
            + "".join(f"{option.name} = {value}\n" for value in option.values)
            for option in section.options
        )
        parts.append(f"[{section.name}]\n{body}")
    return "\n".join(parts)


@dataclass(frozen=True)
class CloudOptions:
    """Options by who reads them."""

    #: The same on API, conductor, scheduler and compute nodes.
    shared: tuple[Section, ...]
    #: nova-scheduler's besides.
    scheduler: tuple[Section, ...]
    placement: tuple[Section, ...]
    #: nova-compute's besides, by host.
    computes: Mapping[str, tuple[Section, ...]]
    #: Custom traits of the compute nodes' own providers, by host; hosts without are left out.
    traits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Draft(NamedTuple):
    """A file without its seal."""

    host: str
    path: str
    purpose: str
    text: str
