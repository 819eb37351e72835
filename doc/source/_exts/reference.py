# SPDX-License-Identifier: Apache-2.0
"""Sphinx directives that generate reference pages from the code.

``.. extra-specs::`` lists the validators that nova-api loads; ``.. json-schema:: PACKAGE FILE``
lists the keys of a schema, one table for each object; ``.. gpu-models::`` and ``.. gpu-boards::``
list the catalogue.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from nova_gpu_passthrough import extra_specs
from nova_gpu_passthrough.catalog import boards, models


class GeneratedDirective(SphinxDirective):
    """A directive that is replaced by generated reStructuredText."""

    def lines(self) -> Iterator[str]:
        """Yield the lines of the generated text."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Parse the generated text; called by Sphinx."""
        text = StringList(list(self.lines()), source=self.get_source_info()[0])
        node = nodes.container()
        self.state.nested_parse(text, self.content_offset, node)
        return node.children


class ExtraSpecs(GeneratedDirective):
    """The extra specs of this package."""

    def lines(self) -> Iterator[str]:
        yield from _heading("Extra spec", "Values", "Meaning", widths="20 25 55")
        for spec in extra_specs.register():
            value_type = spec.value["type"]
            booleans = ["true", "false"]
            values = spec.value.get("enum") or (booleans if value_type is bool else ["text"])
            yield from _row(
                f"``{spec.name}``", ", ".join(f"``{v}``" for v in values), spec.description
            )


class GpuModels(GeneratedDirective):
    """The models of the catalogue."""

    def lines(self) -> Iterator[str]:
        yield from _heading("Model", "PCI ids", "Memory", "Value", widths="36 34 16 14")
        for name, ids in models.ids().items():
            model = models.lookup(*ids[0].split(":"))
            assert model
            yield from _row(
                f"``{name}``", ", ".join(ids), f"{model.memory_gib} GiB", f"{model.value:g}"
            )


class GpuBoards(GeneratedDirective):
    """The boards of the catalogue."""

    def lines(self) -> Iterator[str]:
        yield from _heading("Board", "GPUs", "Linked by", "Partitions", widths="30 34 18 18")
        for board in boards.boards():
            known = [models.lookup(*one.split(":")) for one in sorted(board.products)]
            names = dict.fromkeys(model.name for model in known if model)
            partitions = Counter(len(members) for members in board.partitions)
            yield from _row(
                board.name,
                f"{board.gpus} of " + ", ".join(f"``{name}``" for name in names),
                board.joined_by,
                ", ".join(" + ".join([str(size)] * count) for size, count in partitions.items()),
            )


class Schema(GeneratedDirective):
    """The keys of a JSON schema."""

    required_arguments = 2

    def lines(self) -> Iterator[str]:
        package, name = self.arguments
        text = (resources.files(package) / name).read_text(encoding="utf-8")
        self.env.note_dependency(str(resources.files(package) / name))
        schema = json.loads(text)
        yield from _object("The file", schema)
        for title, definition in schema.get("$defs", {}).items():
            if "properties" in definition:
                yield from _object(title, definition)


def _object(title: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", f"**{title}.** {_sentence(schema.get('description', ''))}", "")
    yield from _heading("Key", "Value", "Meaning", widths="24 30 46")
    required = schema.get("required", ())
    for key, value in schema.get("properties", {}).items():
        mark = " (required)" if key in required else ""
        yield from _row(f"``{key}``{mark}", _value(value), _sentence(value.get("description", "")))
    yield ""


def _sentence(text: str) -> str:
    """Return a description as a sentence, with the characters of markup escaped."""
    text = re.sub(r"([*_`|\\])", r"\\\1", text)
    return text if not text or text.endswith(".") else f"{text}."


def _value(value: Mapping[str, Any]) -> str:
    """Describe a value's type and bounds."""
    if "$ref" in value:
        return str(value["$ref"]).rsplit("/", 1)[-1]
    if "const" in value:
        return f"``{json.dumps(value['const'])}``"
    if "enum" in value:
        return ", ".join(f"``{json.dumps(one)}``" for one in value["enum"])
    for word in ("anyOf", "oneOf"):
        if word in value:
            return " or ".join(_value(one) for one in value[word])
    types = value.get("type", "any")
    description = " or ".join(types) if isinstance(types, list) else str(types)
    if "items" in value:
        description = f"list of {_value(value['items'])}"
    if isinstance(value.get("additionalProperties"), dict):
        description = f"names, each with {_value(value['additionalProperties'])}"
    bounds = [
        f"{word} {value[key]}"
        for key, word in (
            ("minimum", "from"),
            ("exclusiveMinimum", "above"),
            ("maximum", "to"),
            ("minLength", "at least characters"),
            ("minItems", "at least items"),
        )
        if key in value
    ]
    return ", ".join([description, *bounds])


def _heading(*titles: str, widths: str) -> Iterator[str]:
    yield from (".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", "")
    yield from _row(*titles)


def _row(first: str, *others: str) -> Iterator[str]:
    yield f"   * - {first}"
    for one in others:
        yield f"     - {one}"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives; called by Sphinx."""
    app.add_directive("extra-specs", ExtraSpecs)
    app.add_directive("json-schema", Schema)
    app.add_directive("gpu-models", GpuModels)
    app.add_directive("gpu-boards", GpuBoards)
    return {"version": "1", "parallel_read_safe": True}
