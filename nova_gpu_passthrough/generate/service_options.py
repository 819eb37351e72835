# SPDX-License-Identifier: Apache-2.0
"""The options of Nova and Placement, independent of a deployment tool, and their INI format."""

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

_WIDTH = 98


class Option(NamedTuple):
    """An option with its values; only an option that may be repeated has several."""

    name: str
    values: tuple[str, ...]
    #: An explanation in one or two sentences; empty if the name is sufficient.
    comment: str = ""


class Section(NamedTuple):
    """A section of an INI file."""

    name: str
    options: tuple[Option, ...]


def option(name: str, value: object, comment: str = "") -> Option:
    """Make an option with one value."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return Option(name, (text,), comment)


def merge(sections: Iterable[Section]) -> tuple[Section, ...]:
    """Merge sections of the same name, without empty sections."""
    merged: dict[str, tuple[Option, ...]] = {}
    for section in sections:
        merged[section.name] = (*merged.get(section.name, ()), *section.options)
    return tuple(Section(name, options) for name, options in merged.items() if options)


def comment(text: str) -> str:
    """Format a text as lines that begin with ``#``; an empty line separates paragraphs."""
    paragraphs = [
        textwrap.wrap(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False)
        for paragraph in text.split("\n\n")
    ]
    lines = [line for paragraph in paragraphs for line in [*paragraph, ""]]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines[:-1])


def to_ini(sections: Iterable[Section], heading: str = "") -> str:
    """Format sections as oslo.config reads them."""
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
    """The options of a cloud by the services that read them."""

    #: The same on API, conductor, scheduler and compute nodes.
    shared: tuple[Section, ...]
    #: Further options of nova-scheduler.
    scheduler: tuple[Section, ...]
    placement: tuple[Section, ...]
    #: Further options of nova-compute, by host.
    computes: Mapping[str, tuple[Section, ...]]
    #: Custom traits of the compute nodes' own resource providers, by host; without hosts that have
    #: none.
    traits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class UnsealedFile(NamedTuple):
    """A generated file without its seal."""

    host: str
    path: str
    purpose: str
    text: str
