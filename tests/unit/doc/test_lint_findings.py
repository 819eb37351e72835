# SPDX-License-Identifier: Apache-2.0
"""doc/source/lint.rst documents every finding of ``lint`` and ``drift``."""

import ast
import re
from pathlib import Path

import nova_gpu_passthrough
from tests.unit.doc.test_findings import PAGE as AUDIT_PAGE
from tests.unit.doc.test_findings import ROW

LINT = Path(nova_gpu_passthrough.__file__).parent / "cloud" / "lint"
PAGE = AUDIT_PAGE.parent / "lint.rst"
ID = re.compile(r"[a-z_]+\.[a-z0-9_]+")


def _rows(page):
    return ROW.findall(page.read_text(encoding="utf-8"))


def _ids_in_code():
    """Yield strings in the checks that look like ids, except ids of audit findings."""
    audit_ids = {identity for identity, _ in _rows(AUDIT_PAGE)}
    for path in [*(LINT / "checks").glob("*.py"), LINT / "drift.py", LINT / "other_fleet.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and ID.fullmatch(text) and text not in audit_ids:
                yield text


def test_exactly_the_findings_of_the_code_are_documented():
    documented = [identity for identity, _ in _rows(PAGE)]
    assert len(documented) > 80
    assert len(documented) == len(set(documented))
    assert set(documented) == set(_ids_in_code())


def test_severities_are_spelled_as_in_the_code():
    words = {word for _, severity in _rows(PAGE) for word in severity.split(" or ")}
    assert words == {"failure", "warning"}
