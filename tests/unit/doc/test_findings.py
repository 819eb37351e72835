# SPDX-License-Identifier: Apache-2.0
"""doc/source/findings.rst lists the findings that the code can make."""

import ast
import re
from pathlib import Path

import nova_gpu_passthrough
from nova_gpu_passthrough.inventory import findings
from nova_gpu_passthrough.inventory.findings import Severity

PACKAGE = Path(nova_gpu_passthrough.__file__).parent
PAGE = PACKAGE.parent / "doc" / "source" / "findings.rst"
ROW = re.compile(r"^   ``([a-z0-9_.]+)``, ([a-z ]+), \"", re.MULTILINE)


def _made():
    """What each call of Finding gives as id: texts, and patterns of ids that are put together."""
    for path in (PACKAGE / "host").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding":
                yield from _ids(node.args[0])


def _ids(node):
    if isinstance(node, ast.IfExp):
        yield from _ids(node.body)
        yield from _ids(node.orelse)
    elif isinstance(node, ast.Constant):
        yield re.escape(node.value)
    elif isinstance(node, ast.Name):
        yield re.escape(getattr(findings, node.id))
    elif isinstance(node, ast.JoinedStr):
        yield "".join(
            re.escape(part.value) if isinstance(part, ast.Constant) else "[a-z]+"
            for part in node.values
        )


def test_every_finding_is_documented():
    documented = [row[0] for row in ROW.findall(PAGE.read_text(encoding="utf-8"))]
    made = sorted(set(_made()))
    assert len(made) > 60
    missing = [p for p in made if not any(re.fullmatch(p, known) for known in documented)]
    assert not missing


def test_nothing_else_is_documented():
    documented = [row[0] for row in ROW.findall(PAGE.read_text(encoding="utf-8"))]
    source = "".join(path.read_text() for path in (PACKAGE / "host").rglob("*.py"))
    patterns = sorted(set(_made()))
    unknown = [
        known
        for known in documented
        if f'"{known}"' not in source and not any(re.fullmatch(p, known) for p in patterns)
    ]
    assert not unknown
    assert len(documented) == len(set(documented))


def test_severities_are_spelled_as_in_the_code():
    words = {
        word
        for _, severity in ROW.findall(PAGE.read_text(encoding="utf-8"))
        for word in severity.split(" or ")
    }
    assert words == {str(severity) for severity in Severity}
