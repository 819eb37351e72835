# SPDX-License-Identifier: Apache-2.0
"""Loading of policies, and their share in the weight of a host."""

import pytest

from nova_gpu_passthrough.policies import base
from nova_gpu_passthrough.policies.base import UnknownPolicyError
from nova_gpu_passthrough.policies.pack import Pack
from nova_gpu_passthrough.policies.spread import Spread
from nova_gpu_passthrough.topology.model import GpuRequest, HostGpus, PciRequest
from tests.unit.builders import gpu


def test_policies_are_loaded_by_name():
    assert type(base.load("pack")) is Pack
    assert type(base.load("spread")) is Spread


@pytest.mark.parametrize("name", ["", "PACK", "nonesuch"])
def test_an_unknown_policy_is_refused_with_the_installed_names(name):
    with pytest.raises(UnknownPolicyError) as caught:
        base.load(name)
    assert (
        str(caught.value)
        == f"policy {name!r} is not installed, expected one of: fragmentation, pack, spread"
    )


def test_other_packages_may_add_policies(monkeypatch, fake_entry_point):
    fake_entry_point(monkeypatch, own=Spread)
    assert type(base.load("own")) is Spread
    with pytest.raises(UnknownPolicyError, match="fragmentation, own, pack, spread"):
        base.load("other")


@pytest.mark.parametrize(
    ("quality", "score", "expected"),
    [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.5, 1.0, 0.6), (1.0, -3.0, 0.8), (1.0, 7.0, 1.0)],
)
def test_quality_weighs_more_than_the_policy(quality, score, expected):
    assert base.weight(quality, score) == pytest.approx(expected)


def test_gpus_that_match_several_aliases_are_counted_once():
    gpus = tuple(gpu(n) for n in range(4))
    host = HostGpus({"a": gpus, "b": gpus})
    request = GpuRequest((PciRequest("a", "a", 1), PciRequest("b", "b", 1)))
    assert base.free_after(host, request) == 2
