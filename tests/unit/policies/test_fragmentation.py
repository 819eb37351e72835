# SPDX-License-Identifier: Apache-2.0
"""The policy ``fragmentation`` ranks hosts by the usable capacity that a placement destroys."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.allocate import possible_states
from nova_gpu_passthrough.packing.count_servers import usable_gpus
from nova_gpu_passthrough.packing.host_state import canonical
from nova_gpu_passthrough.policies import mix as mixes
from nova_gpu_passthrough.policies.base import PlacementOption, PolicySettings
from nova_gpu_passthrough.policies.fragmentation import LEAST_SCARCITY, Fragmentation
from nova_gpu_passthrough.policies.mix import Mix
from nova_gpu_passthrough.policies.pack import Pack
from nova_gpu_passthrough.topology.fit import fit
from tests.unit.builders import gpu, gpu_request, host_gpus
from tests.unit.packing.host_states import cell, classes, gpus, host, request_class, states

ONE = request_class(1, vcpus=4, ram_mib=40)
FOUR = request_class(4, vcpus=16, ram_mib=160)
EIGHT = request_class(8, vcpus=32, ram_mib=320)


def plain(free, vcpus=32, ram=320, model="H100"):
    """Return a host without NUMA cells."""
    return canonical(host(vcpus=vcpus, ram=ram, loose=gpus(free, model)))


def policy_of(counts, hosts, gpu_value=lambda model: 1.0):
    policy = Fragmentation(Mix(counts), gpu_value)
    for number, state in enumerate(hosts):
        policy.observe(f"host{number}", state)
    return policy


def choose(policy, hosts, some):
    """Return the index of the best host."""
    options = [
        PlacementOption(state, after) for state in hosts for after in possible_states(state, some)
    ]
    ranks = policy.rank(options)
    return hosts.index(options[ranks.index(max(ranks))].before)


def test_a_whole_host_is_kept_for_servers_that_need_one():
    hosts = [plain(8), plain(5, 20, 200)]
    assert choose(policy_of({ONE: 5, EIGHT: 1}, hosts), hosts, ONE) == 1


def test_large_sets_are_kept_where_packing_would_break_them():
    # pack would choose the host with four free GPUs instead of the one with five.
    hosts = [plain(4, 16, 160), plain(5, 20, 200)]
    assert choose(policy_of({ONE: 5, FOUR: 1}, hosts), hosts, ONE) == 1


def test_gpus_without_enough_cpus_go_to_servers_that_need_few():
    small = request_class(1, vcpus=1, ram_mib=10)
    hosts = [plain(4), plain(4, vcpus=3)]
    assert choose(policy_of({ONE: 5, small: 1}, hosts), hosts, small) == 1


def test_servers_without_gpus_use_spare_cpus():
    idle = request_class(0, vcpus=8)
    hosts = [plain(4, vcpus=16), plain(4, vcpus=24), plain(2, vcpus=14)]
    assert choose(policy_of({ONE: 1}, hosts), hosts, idle) == 1


def test_servers_without_gpus_prefer_hosts_that_have_none_free():
    idle = request_class(0, vcpus=8)
    hosts = [plain(8), plain(0), plain(2)]
    assert choose(policy_of({ONE: 1, EIGHT: 1}, hosts), hosts, idle) == 1


def test_servers_without_gpus_fill_up_hosts_whose_gpus_are_taken():
    hosts = [plain(0, vcpus=32), plain(0, vcpus=12), plain(0, vcpus=24)]
    assert choose(policy_of({ONE: 1}, hosts), hosts, request_class(0, vcpus=8)) == 1


def test_a_numa_cell_without_gpus_is_not_kept_free():
    some = request_class(2, cells=1, vcpus=4)
    apart = canonical(host(cell(1), cell(1)))
    together = canonical(host(cell(2), cell(0)))
    policy = policy_of({some: 1}, [apart, together])
    one = request_class(1, cells=1, vcpus=4)
    assert choose(policy, [together, apart], one) == 1


def test_link_groups_are_kept_whole():
    pair = request_class(2, linked=True)
    linked = canonical(host(loose=gpus(2, link=1)))
    loose = canonical(host(loose=gpus(2)))
    policy = policy_of({pair: 1, request_class(1): 1}, [linked, loose])
    assert choose(policy, [linked, loose], request_class(1)) == 1


def test_valuable_gpus_are_kept_for_servers_that_request_them():
    values = {"H100": 18.0, "T4": 1.0}
    hosts = [plain(2), plain(2, model="T4")]
    policy = policy_of(
        {request_class(1): 1, request_class(1, model="H100"): 1}, hosts, values.__getitem__
    )
    assert choose(policy, hosts, request_class(1)) == 1


def weights(policy):
    return dict(zip(policy.classes, policy.weights(), strict=True))


def test_scarce_places_have_a_higher_weight():
    hosts = [plain(8)] * 4 + [plain(1)] * 10
    policy = policy_of({ONE: 8, EIGHT: 1}, hosts)
    # Servers with eight GPUs will request half of the 42 free ones, and can use 32. Servers with
    # one GPU compete with them for all 42.
    assert weights(policy) == pytest.approx({ONE: 1, EIGHT: 8 * (21 / 32) ** 5})
    policy.observe("host0", plain(0))
    assert weights(policy) == pytest.approx({ONE: 1, EIGHT: 8 * (17 / 24) ** 5})


def test_a_place_never_counts_more_than_its_server():
    # Servers with eight GPUs request half of 108 GPUs, and can use 8.
    policy = policy_of({ONE: 8, EIGHT: 1}, [plain(8)] + [plain(1)] * 100)
    assert weights(policy) == {ONE: 1, EIGHT: 8}


def test_a_place_counts_at_least_a_hundredth():
    # Servers with eight GPUs request a hundredth of the GPUs, and could use all.
    hosts = [plain(8)] * 10
    policy = policy_of({ONE: 99 * 8, EIGHT: 1}, hosts)
    assert weights(policy) == pytest.approx({ONE: 1, EIGHT: 8 * 0.01})


def test_whole_hosts_are_kept_while_there_are_plenty():
    # 80 servers with eight GPUs could start, and hardly any is requested. On the used host a server
    # with three vCPUs would not fit any more; on a whole host 23 vCPUs suffice for seven of them.
    small, middle, whole = (
        request_class(1, vcpus=1),
        request_class(1, vcpus=3),
        request_class(8, vcpus=16),
    )
    hosts = [plain(8, vcpus=23)] * 80 + [plain(3, vcpus=6)]
    policy = policy_of({small: 400, middle: 600, whole: 1}, hosts)
    assert choose(policy, hosts, small) == 80


def test_expected_requests_depend_on_the_free_gpus_of_the_model():
    small, large = request_class(1, model="T4"), request_class(4, model="T4")
    policy = policy_of(
        {request_class(1, model="H100"): 100, small: 4, large: 1}, [plain(8, model="T4")]
    )
    policy.observe("other", plain(4))
    assert weights(policy)[large] == pytest.approx(4 * (4 / 8) ** 5)
    assert weights(policy)[small] == 1


def test_classes_that_fit_on_no_host_do_not_count():
    policy = policy_of({ONE: 1, EIGHT: 1}, [plain(4)])
    assert weights(policy) == {ONE: 1, EIGHT: 0}


def test_without_a_mix_hosts_are_packed():
    hosts = [plain(8), plain(3), plain(5)]
    assert choose(policy_of({}, hosts), hosts, ONE) == 1


def test_equally_cheap_hosts_are_packed():
    hosts = [plain(8), plain(2), plain(4)]
    assert choose(policy_of({ONE: 1}, hosts), hosts, ONE) == 1


def test_the_best_ranks_are_clearly_different():
    hosts = [plain(n) for n in (5, 1, 3, 1)]
    options = [PlacementOption(state, possible_states(state, ONE)[0]) for state in hosts]
    assert policy_of({ONE: 1}, hosts).rank(options) == [1 / 3, 1, 1 / 2, 1]


def test_quality_goes_before_price():
    hosts = [plain(1), plain(8)]
    options = [
        PlacementOption(state, possible_states(state, ONE)[0], quality)
        for state, quality in zip(hosts, (0.75, 1.0), strict=True)
    ]
    assert policy_of({ONE: 5, EIGHT: 1}, hosts).rank(options) == [1 / 2, 1]


def test_changed_states_change_the_supply():
    policy = policy_of({ONE: 1, EIGHT: 1}, [plain(8), plain(1)])
    assert dict(zip(policy.classes, policy.supply, strict=True)) == {ONE: 9, EIGHT: 8}
    policy.observe("host0", plain(0))
    policy.forget("host1")
    policy.forget("nobody")
    assert list(policy.supply) == [0, 0]


def test_the_score_of_a_host_without_known_state_is_that_of_pack():
    host, request = host_gpus([gpu(n) for n in range(4)]), gpu_request(1)
    choice = fit(host, request)[0]
    assert Fragmentation().score(host, request, choice) == Pack().score(host, request, choice)


def test_settings_may_contain_the_mix():
    policy = policy_of({}, [plain(8)])
    policy.configure(PolicySettings(mix={ONE: 5, EIGHT: 1}))
    assert set(policy.classes) == {ONE, EIGHT}
    assert list(policy.supply) == [8, 8]


def test_the_mix_is_read_from_a_file(tmp_path):
    path = tmp_path / "mix.yaml"
    path.write_text(mixes.dump({ONE: 5, EIGHT: 1}))
    policy = policy_of({}, [plain(8), plain(5, 20, 200)])
    policy.configure(PolicySettings(path, 0, {"H100": 3.0}))
    assert set(policy.classes) == {ONE, EIGHT}
    assert sorted(policy.supply) == [8, 13]
    assert policy.values(plain(8))[policy.classes.index(EIGHT)] == 8 * 3.0


def test_an_invalid_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="name a readable file"):
        Fragmentation().configure(PolicySettings(tmp_path / "none.yaml"))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(states(), min_size=1, max_size=6).map(lambda some: list(map(canonical, some))),
    st.lists(classes(), min_size=1, max_size=12),
    st.integers(1, 4),
)
def test_cached_values_are_those_of_a_new_policy(hosts, requested, most):
    """Learning, dropping classes and changing states leave no stale values."""
    policy = Fragmentation(Mix(half_life=3, most=most))
    for turn, some in enumerate(requested):
        policy.learn(some)
        policy.observe(f"host{turn % 3}", hosts[turn % len(hosts)])
        for state in hosts:
            policy.values(state)
    now = {f"host{turn % 3}": hosts[turn % len(hosts)] for turn in range(len(requested))}
    assert list(policy.supply) == [
        sum(usable_gpus(state, some) for state in now.values()) for some in policy.classes
    ]
    fresh = Fragmentation(policy._mix)
    for name, state in now.items():
        fresh.observe(name, state)
    order = [fresh.classes.index(some) for some in policy.classes]
    assert policy.weights() == pytest.approx([fresh.weights()[index] for index in order])
    for state in hosts:
        assert list(policy.values(state)) == [fresh.values(state)[index] for index in order]


@settings(max_examples=100, deadline=None)
@given(states(most_cells=2), classes(), st.lists(classes(least_gpus=1), min_size=1, max_size=5))
def test_prices_are_never_negative_and_0_without_a_change(state, some, requested):
    state = canonical(state)
    # Other numbers of cells are counted approximately.
    exact = {other: 1 for other in requested if other.numa_cells in (0, 1, len(state.cells))}
    policy = policy_of(exact, [state], {"A": 7.0, "B": 3.0}.__getitem__)
    assert policy.price(state, state) == 0
    for after in possible_states(state, some):
        assert policy.price(state, after) >= 0


def test_the_cache_of_states_is_bounded(monkeypatch):
    monkeypatch.setattr("nova_gpu_passthrough.policies.fragmentation._SPARE_STATES", 10)
    policy = policy_of({ONE: 1}, [plain(8), plain(4)])
    for vcpus in range(200):
        policy.price(plain(8), plain(7, vcpus=vcpus))
    assert len(policy._cache) < 20
    assert list(policy.supply) == [12]


def test_a_model_that_is_not_requested_any_more_has_no_need():
    policy = Fragmentation(Mix(half_life=0.01))
    policy.observe("host", plain(4))
    policy.learn(request_class(1, model="H100"))
    for _ in range(200):
        policy.learn(request_class(1, model="A100"))
    assert policy._mix.counts[request_class(1, model="H100")] == 0.0
    assert policy.weights()[0] == LEAST_SCARCITY
