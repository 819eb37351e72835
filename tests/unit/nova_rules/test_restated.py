# SPDX-License-Identifier: Apache-2.0
"""The objects of Nova and Placement whose rules this package restates still exist."""

import functools
import importlib
from pathlib import Path

import pytest

import nova_gpu_passthrough
from nova_gpu_passthrough.nova_rules import RESTATED

ROOT = Path(nova_gpu_passthrough.__file__).parent.parent


@pytest.mark.parametrize(("ours", "theirs"), RESTATED, ids=lambda name: name.split(".", 1)[1])
def test_the_restated_object_exists(ours, theirs):
    module, _, path = theirs.partition(":")
    try:
        functools.reduce(getattr, path.split("."), importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        pytest.fail(
            f"{ours} restates {theirs}, which the installed release does not have ({error}): "
            "find what replaces it, and restate that (see nova_gpu_passthrough/nova_rules)"
        )


@pytest.mark.parametrize("module", sorted({ours for ours, _ in RESTATED}))
def test_the_restating_module_exists(module):
    path = ROOT.joinpath(*module.split("."))
    assert path.with_suffix(".py").exists(), f"RESTATED names {module}, which does not exist"


def test_the_list_has_no_duplicates():
    assert len(set(RESTATED)) == len(RESTATED)
