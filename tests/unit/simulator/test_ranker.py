# SPDX-License-Identifier: Apache-2.0
"""Rankers by name."""

from importlib import metadata

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.simulator import ranker
from nova_gpu_passthrough.simulator.rankers.plain import Pack


@pytest.mark.parametrize("name", ["best-fit", "fgd", "fragmentation", "pack", "random", "spread"])
def test_a_ranker_knows_the_name_that_it_has(name):
    assert ranker.load(name).name == name
    assert name in ranker.names()


def test_each_run_gets_a_new_one():
    first, second = ranker.load("pack"), ranker.load("pack")
    assert isinstance(first, Pack)
    assert first is not second


def test_an_unknown_name_tells_which_there_are():
    with pytest.raises(UserError, match=r"ranker pakc is not known, expected .*, pack, "):
        ranker.load("pakc")


def test_what_a_ranker_lacks_is_told(monkeypatch):
    point = metadata.EntryPoint("broken", "no_such_package.ranker:Ranker", ranker.NAMESPACE)

    class Manager(ranker.NamedExtensionManager):
        def list_entry_points(self):
            return [point]

    monkeypatch.setattr(ranker, "NamedExtensionManager", Manager)
    with pytest.raises(UserError, match="broken cannot be loaded: No module named 'no_such_pack"):
        ranker.load("broken")
