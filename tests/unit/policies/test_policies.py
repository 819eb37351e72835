# SPDX-License-Identifier: Apache-2.0
"""Ranking policies and how they are found."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.policies import base
from nova_gpu_passthrough.policies.base import UnknownPolicyError
from nova_gpu_passthrough.policies.pack import Pack
from nova_gpu_passthrough.policies.spread import Spread
from nova_gpu_passthrough.topology.fit import fit
from nova_gpu_passthrough.topology.model import Demand, GpuRequest, HostGpus
from tests.unit.builders import gpu, gpu_request, host_gpus


def score(policy, free, count):
    host, request = host_gpus([gpu(n) for n in range(free)]), gpu_request(count)
    return policy.score(host, request, fit(host, request)[0])


def test_policies_are_found_by_name():
    assert type(base.load("pack")) is Pack
    assert type(base.load("spread")) is Spread


@pytest.mark.parametrize("name", ["", "PACK", "nonesuch"])
def test_an_unknown_policy_is_told_with_those_there_are(name):
    with pytest.raises(UnknownPolicyError) as caught:
        base.load(name)
    assert (
        str(caught.value)
        == f"policy {name!r} is not installed, expected one of: fragmentation, pack, spread"
    )


def test_a_package_may_bring_its_own(monkeypatch, fake_entry_point):
    fake_entry_point(monkeypatch, own=Spread)
    assert type(base.load("own")) is Spread
    with pytest.raises(UnknownPolicyError, match="fragmentation, own, pack, spread"):
        base.load("other")


def test_pack_prefers_the_fullest_host():
    assert score(Pack(), 2, 2) == 1.0
    assert score(Pack(), 2, 1) > score(Pack(), 4, 1) > score(Pack(), 8, 1) > 0


def test_spread_prefers_the_emptiest_host():
    assert score(Spread(), 2, 2) == 0.0
    assert score(Spread(), 8, 1) > score(Spread(), 4, 1) > score(Spread(), 2, 1)


@settings(max_examples=50)
@given(st.integers(1, 70), st.data())
def test_scores_are_on_one_scale(free, data):
    count = data.draw(st.integers(1, min(free, 64)))
    pack, spread = score(Pack(), free, count), score(Spread(), free, count)
    assert 0 <= pack <= 1
    assert pack + spread == pytest.approx(1)


def test_gpus_of_several_aliases_count_once():
    gpus = tuple(gpu(n) for n in range(4))
    host = HostGpus({"a": gpus, "b": gpus})
    request = GpuRequest((Demand("a", "a", 1), Demand("b", "b", 1)))
    assert base.free_after(host, request) == 2
