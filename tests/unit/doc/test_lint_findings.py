# SPDX-License-Identifier: Apache-2.0
"""doc/source/lint.rst lists the findings that ``lint`` and ``drift`` can make."""

import ast
import re
from pathlib import Path

import nova_gpu_passthrough
from tests.unit.doc.test_findings import PAGE as AUDITS
from tests.unit.doc.test_findings import ROW

LINT = Path(nova_gpu_passthrough.__file__).parent / "cloud" / "lint"
PAGE = AUDITS.parent / "lint.rst"
ID = re.compile(r"[a-z_]+\.[a-z0-9_]+")


def _rows(page):
    return ROW.findall(page.read_text(encoding="utf-8"))


def _made():
    """Texts in the checks that look like ids, but for those of the audit's findings."""
    audits = {identity for identity, _ in _rows(AUDITS)}
    for path in [*(LINT / "checks").glob("*.py"), LINT / "drift.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and ID.fullmatch(text) and text not in audits:
                yield text


def test_every_finding_is_documented_and_nothing_else():
    documented = [identity for identity, _ in _rows(PAGE)]
    assert len(documented) > 80
    assert len(documented) == len(set(documented))
    assert set(documented) == set(_made())


def test_severities_are_spelled_as_in_the_code():
    words = {word for _, severity in _rows(PAGE) for word in severity.split(" or ")}
    assert words == {"failure", "warning"}
