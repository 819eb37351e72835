# SPDX-License-Identifier: Apache-2.0
"""Dependencies between the package's folders point one way, and few of them know Nova."""

import ast
from pathlib import Path

import pytest

import nova_gpu_passthrough
from tools import run_tests

PACKAGE = Path(nova_gpu_passthrough.__file__).parent
NAME = PACKAGE.name
#: What each folder or file may import of the package, besides itself: the layers below it.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "catalog": set(),
    "topology": set(),
    "files": {"errors"},
    "nova_rules": {"topology"},
    "packing": {"topology"},
    "extra_specs": {"topology"},
    "inventory": {"errors", "files", "topology"},
    "policies": {"catalog", "errors", "files", "packing", "topology"},
    "conf": {"errors", "policies"},
    "host": {"catalog", "errors", "files", "inventory", "topology"},
}
MAY_IMPORT["fleet"] = {*MAY_IMPORT} - {"host"}
MAY_IMPORT["generate"] = {"fleet", *MAY_IMPORT["fleet"]}
MAY_IMPORT["cloud"] = {"generate", *MAY_IMPORT["generate"]}
MAY_IMPORT["scheduler"] = {*MAY_IMPORT} - {"cloud", "fleet", "generate", "host", "inventory"}
MAY_IMPORT["simulator"] = {"scheduler", *MAY_IMPORT["generate"]}
MAY_IMPORT["cli"] = {*MAY_IMPORT} - {"scheduler"}
#: They import Nova or Placement; of the simulator only its folder nova.
NOVA_TOO = {"extra_specs", "scheduler"}
NOVA_FOLDERS = {"simulator/nova"}


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
    files = [
        path
        for path in _files(part)
        if path.relative_to(PACKAGE).parent.as_posix() not in NOVA_FOLDERS
    ]
    roots = {name.split(".")[0] for path in files for name in _imports(path)}
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
