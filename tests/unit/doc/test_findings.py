# SPDX-License-Identifier: Apache-2.0
"""doc/source/findings.rst documents every finding of the audit."""

import ast
import re
from pathlib import Path

import nova_gpu_passthrough
from nova_gpu_passthrough.inventory import findings
from nova_gpu_passthrough.inventory.findings import Severity

PACKAGE = Path(nova_gpu_passthrough.__file__).parent
PAGE = PACKAGE.parent / "doc" / "source" / "findings.rst"
ROW = re.compile(r"^   ``([a-z0-9_.]+)``, ([a-z ]+), \"", re.MULTILINE)


def _id_patterns():
    """Yield a pattern for the id in each call of Finding."""
    for path in (PACKAGE / "host").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for call in _calls(tree, "Finding"):
            yield from _ids(call.args[0], tree)


def _calls(tree, name):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name:
            yield node


def _ids(node, tree):
    if isinstance(node, ast.IfExp):
        yield from _ids(node.body, tree)
        yield from _ids(node.orelse, tree)
    elif isinstance(node, ast.Constant):
        yield re.escape(node.value)
    elif isinstance(node, ast.Name) and hasattr(findings, node.id):
        yield re.escape(getattr(findings, node.id))
    elif isinstance(node, ast.Name):
        # The first parameter of a function that makes findings.
        for function in ast.walk(tree):
            arguments = function.args.args if isinstance(function, ast.FunctionDef) else []
            if arguments and arguments[0].arg == node.id:
                for call in _calls(tree, function.name):
                    yield from _ids(call.args[0], tree)
    elif isinstance(node, ast.JoinedStr):
        yield "".join(
            re.escape(part.value) if isinstance(part, ast.Constant) else "[a-z]+"
            for part in node.values
        )


def test_every_finding_is_documented():
    documented = [row[0] for row in ROW.findall(PAGE.read_text(encoding="utf-8"))]
    patterns = sorted(set(_id_patterns()))
    assert len(patterns) > 60
    missing = [p for p in patterns if not any(re.fullmatch(p, known) for known in documented)]
    assert not missing


def test_every_documented_finding_exists():
    documented = [row[0] for row in ROW.findall(PAGE.read_text(encoding="utf-8"))]
    source = "".join(path.read_text() for path in (PACKAGE / "host").rglob("*.py"))
    patterns = sorted(set(_id_patterns()))
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
