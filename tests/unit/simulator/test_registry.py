# SPDX-License-Identifier: Apache-2.0
"""Rankers are loaded by name."""

from importlib import metadata

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.policies.pack import Pack
from nova_gpu_passthrough.policies.spread import Spread
from nova_gpu_passthrough.simulator import registry
from nova_gpu_passthrough.simulator.rankers.best_fit import BestFitRanker
from nova_gpu_passthrough.simulator.rankers.fgd import FgdRanker
from nova_gpu_passthrough.simulator.rankers.fragmentation import FragmentationRanker
from nova_gpu_passthrough.simulator.rankers.policy import FreeGpuPolicyRanker
from nova_gpu_passthrough.simulator.rankers.random_host import RandomRanker
from tests.unit.simulator.fleets import ONE, begun, chosen, fleet, plain


@pytest.mark.parametrize(
    "name, ranker_class",
    [
        ("best-fit", BestFitRanker),
        ("fgd", FgdRanker),
        ("fragmentation", FragmentationRanker),
        ("random", RandomRanker),
        ("pack", FreeGpuPolicyRanker),
        ("spread", FreeGpuPolicyRanker),
    ],
)
def test_rankers_and_policies_are_loaded_by_name(name, ranker_class):
    assert type(registry.load(name)) is ranker_class
    assert name in registry.names()


def test_each_replay_gets_a_new_ranker():
    assert registry.load("pack") is not registry.load("pack")


def test_a_new_policy_needs_no_ranker(monkeypatch, fake_entry_point):
    class Reverse(Pack):
        def score_free_gpus(self, free):
            return 1 - super().score_free_gpus(free)

    fake_entry_point(monkeypatch, reverse=Reverse, other=Spread)
    hosts = fleet(plain(2), plain(8), plain(4))
    for name in ("reverse", "other"):
        assert chosen(begun(registry.load(name), hosts), hosts, ONE) == 1


def test_an_unknown_ranker_is_refused_with_the_installed_names():
    with pytest.raises(
        UserError, match=r"ranker pakc is not known, expected .*, pack, random, spr"
    ):
        registry.load("pakc")


@pytest.mark.parametrize("namespace", [registry.RANKERS, registry.POLICIES])
def test_a_ranker_that_cannot_be_imported_is_refused(monkeypatch, namespace):
    class Manager(registry.NamedExtensionManager):
        def list_entry_points(self):
            if self.namespace != namespace:
                return []
            return [metadata.EntryPoint("broken", "no_such_package.ranker:Ranker", namespace)]

    monkeypatch.setattr(registry, "NamedExtensionManager", Manager)
    with pytest.raises(UserError, match="broken cannot be loaded: No module named 'no_such_pack"):
        registry.load("broken")
