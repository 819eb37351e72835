# SPDX-License-Identifier: Apache-2.0
"""The package's structure: layers, few parts that know Nova, one meaning for each name."""

import ast
import collections
from pathlib import Path

import pytest

import nova_gpu_passthrough
from tools import run_tests

PACKAGE = Path(nova_gpu_passthrough.__file__).parent
NAME = PACKAGE.name
#: What each folder or file may import of the package, besides itself: the layers below it.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "waiting": set(),
    "catalog": set(),
    "topology": set(),
    "files": {"errors"},
    "nova_rules": {"topology"},
    "packing": {"topology"},
    "extra_specs": {"topology"},
    "inventory": {"errors", "files", "topology"},
    "policies": {"catalog", "errors", "files", "packing", "topology"},
    "conf": {"errors", "policies"},
    "placement": set(),
    "host": {"catalog", "errors", "files", "inventory", "topology", "waiting"},
}
MAY_IMPORT["fleet"] = {*MAY_IMPORT} - {"host"}
MAY_IMPORT["generate"] = {"fleet", *MAY_IMPORT["fleet"]}
MAY_IMPORT["cloud"] = {"generate", *MAY_IMPORT["generate"]}
MAY_IMPORT["scheduler"] = {*MAY_IMPORT} - {"cloud", "fleet", "generate", "host", "inventory"}
MAY_IMPORT["simulator"] = {"scheduler", *MAY_IMPORT["generate"]}
MAY_IMPORT["cli"] = {*MAY_IMPORT} - {"scheduler"}
#: They import Nova or Placement; of the simulator only its folder nova.
NOVA_TOO = {"extra_specs", "scheduler"}
NOVA_FOLDERS = {"placement", "simulator/nova"}

#: Names of files in several folders, with the meaning that all of them have.
SHARED_NAMES = {
    "capacity.py": "how many more servers of a flavor fit",
    "compute_options.py": "the options of nova-compute",
    "drivers.py": "kernel drivers of PCI functions",
    "failures.py": "the sentence for a failed request",
    "flavors.py": "Nova's flavors",
    "fragmentation.py": "the policy fragmentation",
    "host.py": "one compute host",
    "metrics.py": "the metrics for Prometheus",
    "mix.py": "the mix of requests",
    "model.py": "the data that the folder's other files read and write",
    "numa.py": "NUMA nodes of PCI functions",
    "quota.py": "limits of projects",
    "store.py": "read and write the file of the folder's model",
}
#: Folders with one thing of a kind in each file, which may be short.
ONE_A_FILE = {
    "cloud/lint/checks": "check",
    "host/checks": "check",
    "host/links": "source of links",
    "policies": "policy",
    "simulator/rankers": "ranker",
}
#: Other files below 40 lines, with the reason.
SHORT_FILES = {
    "cli/plugin.py": "the interface of osc-lib's plug-ins",
    "cli/start.py": "it is imported before all others",
    "errors.py": "every layer may import it",
    "files/cpu_list.py": "one format",
    "nova_rules/placement_extra_specs.py": "one format",
    "placement/wsgi.py": "the module that a web server names",
    "topology/tags.py": "the contract between generated configuration and scheduler",
}


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


def _modules():
    return [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]


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


def test_no_class_name_stands_twice():
    names = collections.Counter(
        node.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert {name for name, count in names.items() if count > 1} == set()


def test_a_file_name_in_several_folders_has_one_meaning():
    names = collections.Counter(path.name for path in _modules())
    assert {name for name, count in names.items() if count > 1} == set(SHARED_NAMES)


def test_files_have_40_to_500_lines():
    lines = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in _modules()
    }
    assert {name for name, count in lines.items() if count > 500} == set()
    short = {name for name, count in lines.items() if count < 40}
    assert {name for name in short if name.rpartition("/")[0] not in ONE_A_FILE} == {*SHORT_FILES}


def test_folders_are_nested_three_deep_at_most():
    assert max(len(path.relative_to(PACKAGE).parts) - 1 for path in _modules()) <= 3
