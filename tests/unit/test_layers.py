# SPDX-License-Identifier: Apache-2.0
"""Dependencies between the package's folders point one way, and few of them know Nova."""

import ast
from pathlib import Path

import pytest

import nova_gpu_passthrough
from tools import run_tests

PACKAGE = Path(nova_gpu_passthrough.__file__).parent
NAME = PACKAGE.name
PURE = {"catalog", "errors", "files", "inventory", "topology"}
#: What each folder or file may import of the package, besides itself.
MAY_IMPORT = {
    "catalog": set(),
    "cli": {"cloud", "fleet", "generate", "host", "policies", "simulator", *PURE},
    "cloud": {"conf", "extra_specs", "fleet", "generate", "policies", *PURE},
    "conf": {"errors", "policies"},
    "errors": set(),
    "extra_specs": {"topology"},
    "files": {"errors"},
    "fleet": {"errors", "files"},
    "generate": {"conf", "extra_specs", "fleet", *PURE},
    "host": PURE,
    "inventory": PURE - {"catalog"},
    "policies": {"catalog", "errors", "files", "topology"},
    "scheduler": {
        "catalog",
        "conf",
        "errors",
        "extra_specs",
        "policies",
        "simulator",
        "topology",
    },
    "simulator": {"fleet", "generate", "policies", *PURE},
    "topology": set(),
}
NOVA_TOO = {"extra_specs", "scheduler"}


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            if node.module == NAME:
                yield from (f"{NAME}.{alias.name}" for alias in node.names)


def _files(part):
    return [*(PACKAGE / part).rglob("*.py"), *PACKAGE.glob(f"{part}.py")]


def test_every_folder_has_a_rule():
    parts = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py")}
    assert {part.removesuffix(".py") for part in parts} - {"__init__"} == set(MAY_IMPORT)


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_imports_point_one_way(part):
    found = {
        name.split(".")[1]
        for path in _files(part)
        for name in _imports(path)
        if name.startswith(f"{NAME}.")
    }
    assert found - {part} <= MAY_IMPORT[part]


@pytest.mark.parametrize("part", sorted(set(MAY_IMPORT) - NOVA_TOO))
def test_nova_is_not_imported(part):
    roots = {name.split(".")[0] for path in _files(part) for name in _imports(path)}
    assert "nova" not in roots
    assert "placement" not in roots


def test_unit_tests_of_nova_run_with_every_release():
    tests = Path(__file__).parent
    named = {Path(test.partition("::")[0]).relative_to("tests/unit") for test in run_tests.OF_NOVA}
    for path in named:
        assert (tests / path).exists()
    found = {
        path.relative_to(tests)
        for path in tests.rglob("test_*.py")
        if any(name.split(".")[0] in ("nova", "placement") for name in _imports(path))
    }
    assert found
    assert not {path for path in found if not {path, *path.parents} & named}
