# SPDX-License-Identifier: Apache-2.0
"""The weigher, alone and among Nova's own."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nova.scheduler import weights

from nova_gpu_passthrough.policies.base import Policy
from nova_gpu_passthrough.scheduler.filters import GpuPassthroughFilter
from nova_gpu_passthrough.scheduler.weights import GpuPassthroughWeigher
from tests.unit import builders
from tests.unit.builders import (
    H100,
    NIC,
    T4,
    aggregate,
    hgx_pools,
    host_state,
    pci_request,
    pool,
    request_spec,
)


def weight(state, spec):
    return GpuPassthroughWeigher()._weigh_object(state, spec)


def gpus(name, count, ids=H100, **resources):
    return host_state(name, [pool(n, ids) for n in range(count)], **resources)


def ranked(hosts, spec, weigher_classes=None):
    """Return host names in the order of Nova's handler, by Nova's weighers and this one."""
    if weigher_classes is None:
        weigher_classes = [*weights.all_weighers(), GpuPassthroughWeigher]
    handler = weights.HostWeightHandler()
    weighed = handler.get_weighed_objects([cls() for cls in weigher_classes], hosts, spec)
    return [item.obj.host for item in weighed]


# -- server groups ------------------------------------------------------------------------------


@pytest.mark.parametrize("pci_requests", [(), (pci_request(),)])
@pytest.mark.parametrize(
    ("policy", "expected"),
    [("soft-affinity", "two members"), ("soft-anti-affinity", "no member"), ("affinity", None)],
)
def test_the_soft_policy_of_a_server_group_decides_first(pci_requests, policy, expected):
    hosts = [gpus("no member", 8), gpus("one member", 2), gpus("two members", 4)]
    for count, host in enumerate(hosts):
        host.instances = {f"{count}-{n}": None for n in range(count)}
    spec = request_spec(*pci_requests)
    spec.instance_group = builders.objects.InstanceGroup(
        policy=policy, members=["1-0", "2-0", "2-1"]
    )
    order = ranked(hosts, spec)
    assert order[0] == (expected or ranked(hosts, request_spec(*pci_requests))[0])


def test_gpus_decide_among_hosts_with_as_many_members():
    hosts = [gpus("roomy", 8), gpus("full", 1)]
    spec = request_spec(pci_request())
    spec.instance_group = builders.objects.InstanceGroup(policy="soft-affinity", members=["a"])
    assert ranked(hosts, spec) == ["full", "roomy"]


# -- servers with GPUs -------------------------------------------------------------------------


def test_the_fullest_host_comes_first():
    hosts = [gpus("eight", 8), gpus("two", 2), gpus("four", 4)]
    assert ranked(hosts, request_spec(pci_request(2))) == ["two", "four", "eight"]


def test_the_emptiest_host_comes_first_with_spread(options):
    options(policy="spread")
    hosts = [gpus("two", 2), gpus("eight", 8), gpus("four", 4)]
    assert ranked(hosts, request_spec(pci_request(2))) == ["eight", "four", "two"]


@pytest.mark.parametrize("policy", ["pack", "spread"])
def test_no_policy_splits_a_server_over_numa_nodes(options, policy):
    options(policy=policy)
    split = host_state("split", [pool(n, node=n) for n in range(2 if policy == "pack" else 64)])
    whole = gpus("whole", 62 if policy == "pack" else 2)
    assert ranked([split, whole], request_spec(pci_request(2)))[0] == "whole"


def test_linked_gpus_come_before_others():
    linked = host_state("linked", [pool(n, gpu_link_group="x") for n in range(2)])
    others = host_state("others", [pool(n, gpu_link_group=f"x{n}") for n in range(2)])
    assert ranked([others, linked], request_spec(pci_request(2))) == ["linked", "others"]


def test_only_gpus_that_match_count():
    crowded = host_state("crowded", [pool(1)] + [pool(0x20 + n, T4) for n in range(6)])
    hosts = [gpus("three", 3), crowded]
    assert ranked(hosts, request_spec(pci_request())) == ["crowded", "three"]


@pytest.mark.parametrize("busy", ["small", "large"])
def test_it_outweighs_novas_weighers_for_gpu_servers(busy):
    small, large = gpus("small", 2, vcpus=8, ram=8192), gpus("large", 8, vcpus=256, ram=999999)
    state = small if busy == "small" else large
    state.num_io_ops, state.num_instances = 30, 50
    state.free_disk_mb = state.free_ram_mb = 1
    assert ranked([large, small], request_spec(pci_request())) == ["small", "large"]
    without = ranked([large, small], request_spec(pci_request()), weights.all_weighers())
    assert (without == ["large", "small"]) is (busy == "small")


def test_hosts_that_fail_to_build_are_still_avoided():
    failing, other = gpus("failing", 2), gpus("other", 8)
    failing.failed_builds = 5
    assert ranked([failing, other], request_spec(pci_request())) == ["other", "failing"]


def test_a_host_that_does_not_fit_gets_the_lowest_weight():
    assert weight(host_state("none"), request_spec(pci_request())) == 0.0
    assert weight(gpus("one", 1), request_spec(pci_request(2))) == 0.0


def test_the_choice_of_the_filter_is_weighed():
    spec = request_spec(pci_request(2), in_placement=True)
    state = host_state("host", hgx_pools("host"))
    state.allocation_candidates = builders.candidates(state, spec)
    before = weight(state, spec)
    assert list(GpuPassthroughFilter().filter_all([state], spec)) == [state]
    assert weight(state, spec) == pytest.approx(before)
    # The candidate has the choice: the pools are not read again.
    state.pci_stats.pools = None
    assert weight(state, spec) == pytest.approx(before)


# -- servers without GPUs ----------------------------------------------------------------------


def cpu_host(name, values):
    vcpus, free_ram, io_ops, nics = values
    state = host_state(
        name, [pool(1, NIC, count=nics)] if nics else [], vcpus=vcpus, free_ram=free_ram
    )
    state.num_io_ops = io_ops
    return state


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 128), st.integers(0, 10**6), st.integers(0, 20), st.integers(0, 64)
        ),
        min_size=2,
        max_size=6,
    ),
    st.sampled_from([request_spec(), request_spec(pci_request(spec=NIC))]),
)
def test_hosts_without_gpus_keep_novas_order(values, spec):
    hosts = [cpu_host(f"host{n}", value) for n, value in enumerate(values)]
    assert ranked(hosts, spec) == ranked(hosts, spec, weights.all_weighers())


def test_hosts_with_the_most_valuable_free_gpus_come_last():
    hosts = [
        gpus("8 H100", 8, vcpus=512),
        gpus("1 H100", 1, vcpus=512),
        gpus("1 T4", 1, T4, vcpus=512),
        gpus("2 T4", 2, T4, vcpus=512),
        host_state("none", vcpus=8, ram=8192),
    ]
    spec = request_spec(vcpus=2, ram=1024)
    assert ranked(hosts, spec) == ["none", "1 T4", "2 T4", "1 H100", "8 H100"]


def test_free_vfs_of_a_nic_do_not_outweigh_a_gpu():
    vfs = host_state("vfs", [pool(1, NIC, count=64, dev_type="type-VF")])
    hosts = [gpus("gpu", 1, T4), vfs]
    assert ranked(hosts, request_spec()) == ["vfs", "gpu"]
    assert ranked(hosts, request_spec(pci_request(spec=T4)))[0] == "gpu"


def test_hosts_whose_gpus_are_in_use_are_not_avoided():
    used = host_state("used", [pool(1, count=0)])
    assert weight(used, request_spec()) == weight(host_state("none"), request_spec()) == 1.0


def test_gpu_values_change_the_weights(options):
    spec = request_spec()
    before = weight(gpus("t4", 1, T4), spec)
    options(gpu_values={"T4": 100.0, "own": 50.0})
    assert weight(gpus("t4", 1, T4), spec) < before
    own = host_state("own", [pool(1, NIC, gpu_model="own")])
    assert weight(gpus("t4", 1, T4), spec) < weight(own, spec) < 0.5


@pytest.mark.parametrize("strength, expected", [(0.0, 1.0), (0.5, 0.75), (1.0, 0.5)])
def test_avoid_gpu_hosts_scales_the_weights(options, strength, expected):
    options(avoid_gpu_hosts=strength)
    assert weight(gpus("t4", 1, T4), request_spec()) == pytest.approx(expected, abs=0.01)


# -- bounds, multiplier, policies --------------------------------------------------------------


def test_the_bounds_are_fixed():
    assert (GpuPassthroughWeigher.minval, GpuPassthroughWeigher.maxval) == (0.0, 1.0)


@settings(max_examples=150)
@given(
    st.lists(
        st.builds(
            pool,
            st.integers(0, 255),
            st.sampled_from([H100, T4, NIC]),
            st.sampled_from([None, 0, 1]),
            st.sampled_from([0, 1, 8, 64, 10**9]),
        ),
        max_size=8,
    ),
    st.sampled_from([request_spec(), *(request_spec(pci_request(k)) for k in (1, 2, 64))]),
)
def test_weights_are_within_the_bounds(free, spec):
    assert 0.0 <= weight(host_state("host", free), spec) <= 1.0


def test_hosts_are_weighed_independently():
    spec, weigher = request_spec(pci_request()), GpuPassthroughWeigher()
    hosts = [gpus("two", 2), gpus("eight", 8), host_state("none")]
    items = [weights.WeighedHost(host, 0.0) for host in hosts]
    assert weigher.weigh_objects(items, spec) == [weight(host, spec) for host in hosts]


def test_the_multiplier_is_an_option(options):
    assert GpuPassthroughWeigher().weight_multiplier(host_state()) == 10000.0
    options(weight_multiplier=3.0)
    assert GpuPassthroughWeigher().weight_multiplier(host_state()) == 3.0


@pytest.mark.parametrize(
    "value, expected", [("7.5", 7.5), ("0", 0.0), ("many", 10000.0), ("nan", 10000.0)]
)
def test_an_aggregate_overrides_the_multiplier(value, expected):
    state = host_state(aggregates=[aggregate(weight_multiplier=value)])
    assert GpuPassthroughWeigher().weight_multiplier(state) == expected


def test_a_multiplier_of_zero_leaves_novas_order(options):
    options(weight_multiplier=0.0)
    hosts = [gpus("eight", 8), gpus("two", 2), host_state("none", vcpus=8)]
    spec = request_spec()
    assert ranked(hosts, spec) == ranked(hosts, spec, weights.all_weighers())


class _HighestAddress(Policy):
    """A third-party policy: hosts whose GPUs have the highest addresses come first."""

    def score(self, host, request, choice):
        return max(int(gpu.address[5:7], 16) for gpu in choice.gpus) / 255


class _InvalidScores(Policy):
    """A policy that returns invalid scores."""

    def score(self, host, request, choice):
        return {1: 17.0, 2: -3.0, 3: float("nan")}[request.count]


def test_a_third_party_policy_is_loaded(options, monkeypatch, fake_entry_point):
    fake_entry_point(monkeypatch, names=_HighestAddress)
    options(policy="names")
    hosts = [host_state(f"host{n}", [pool(n)]) for n in (3, 200, 70)]
    assert ranked(hosts, request_spec(pci_request())) == ["host200", "host70", "host3"]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_invalid_scores_keep_the_weight_in_the_bounds(
    count, options, monkeypatch, fake_entry_point, logged
):
    fake_entry_point(monkeypatch, wild=_InvalidScores)
    options(policy="wild")
    assert 0.0 <= weight(gpus("host", 8), request_spec(pci_request(count))) <= 1.0


def test_an_unknown_policy_stops_the_scheduler(options, logged):
    options(policy="best")
    with pytest.raises(SystemExit):
        GpuPassthroughWeigher()
    assert (
        "policy 'best' is not installed, expected one of: fragmentation, pack, spread"
        in logged("CRITICAL")[0]
    )
