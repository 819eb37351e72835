# SPDX-License-Identifier: Apache-2.0
"""Configuration files of OpenStack's services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

Value = str | int | float | bool | Path | Sequence[str]
Sections = Mapping[str, Mapping[str, Value]]


def write(path: Path, sections: Sections) -> Path:
    """Write a file; a list is written as one line for each value."""
    lines = []
    for section, options in sections.items():
        lines.append(f"[{section}]")
        for name, value in options.items():
            values = [value] if isinstance(value, str | int | float | Path) else value
            lines += [f"{name} = {item}" for item in values]
        lines.append("")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    return path


def merged(*parts: Sections) -> dict[str, dict[str, Value]]:
    """Merge options; later ones take precedence."""
    result: dict[str, dict[str, Value]] = {}
    for part in parts:
        for section, options in part.items():
            result.setdefault(section, {}).update(options)
    return result
