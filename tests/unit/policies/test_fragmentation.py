# SPDX-License-Identifier: Apache-2.0
"""Hosts ranked by the usable capacity that a placement destroys."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.allocate import placements
from nova_gpu_passthrough.packing.count_servers import usable
from nova_gpu_passthrough.packing.host_state import canonical
from nova_gpu_passthrough.policies import mix as mixes
from nova_gpu_passthrough.policies.base import Offer, Settings
from nova_gpu_passthrough.policies.fragmentation import Fragmentation
from nova_gpu_passthrough.policies.mix import Mix
from nova_gpu_passthrough.policies.pack import Pack
from nova_gpu_passthrough.topology.fit import fit
from tests.unit.builders import gpu, gpu_request, host_gpus
from tests.unit.packing.host_states import cell, classes, gpus, host, states, wanted

ONE = wanted(1, vcpus=4, ram_mib=40)
FOUR = wanted(4, vcpus=16, ram_mib=160)
EIGHT = wanted(8, vcpus=32, ram_mib=320)


def plain(free, vcpus=32, ram=320, model="H100"):
    """A host without NUMA cells."""
    return canonical(host(vcpus=vcpus, ram=ram, loose=gpus(free, model)))


def made(counts, hosts, value=lambda model: 1.0):
    policy = Fragmentation(Mix(counts), value)
    for number, state in enumerate(hosts):
        policy.observe(f"host{number}", state)
    return policy


def choose(policy, hosts, some):
    """The number of the best host."""
    offers = [Offer(state, after) for state in hosts for after in placements(state, some)]
    ranks = policy.rank(offers)
    return hosts.index(offers[ranks.index(max(ranks))].before)


def test_a_whole_host_is_kept_for_the_servers_that_need_one():
    hosts = [plain(8), plain(5, 20, 200)]
    assert choose(made({ONE: 5, EIGHT: 1}, hosts), hosts, ONE) == 1


def test_large_sets_are_kept_where_packing_would_break_them():
    # pack takes the four that are left of one host rather than one of the five of the other.
    hosts = [plain(4, 16, 160), plain(5, 20, 200)]
    assert choose(made({ONE: 5, FOUR: 1}, hosts), hosts, ONE) == 1


def test_gpus_that_lack_cpus_are_used_by_those_who_need_few():
    small = wanted(1, vcpus=1, ram_mib=10)
    hosts = [plain(4), plain(4, vcpus=3)]
    assert choose(made({ONE: 5, small: 1}, hosts), hosts, small) == 1


def test_servers_without_gpus_go_where_cpus_are_left_over():
    idle = wanted(0, vcpus=8)
    hosts = [plain(4, vcpus=16), plain(4, vcpus=24), plain(2, vcpus=14)]
    assert choose(made({ONE: 1}, hosts), hosts, idle) == 1


def test_servers_without_gpus_prefer_hosts_that_have_none_free():
    idle = wanted(0, vcpus=8)
    hosts = [plain(8), plain(0), plain(2)]
    assert choose(made({ONE: 1, EIGHT: 1}, hosts), hosts, idle) == 1


def test_servers_without_gpus_fill_up_hosts_whose_gpus_are_taken():
    hosts = [plain(0, vcpus=32), plain(0, vcpus=12), plain(0, vcpus=24)]
    assert choose(made({ONE: 1}, hosts), hosts, wanted(0, vcpus=8)) == 1


def test_a_numa_cell_without_gpus_is_not_worth_keeping():
    some = wanted(2, cells=1, vcpus=4)
    apart = canonical(host(cell(1), cell(1)))
    together = canonical(host(cell(2), cell(0)))
    policy = made({some: 1}, [apart, together])
    one = wanted(1, cells=1, vcpus=4)
    assert choose(policy, [together, apart], one) == 1


def test_link_groups_are_kept_whole():
    pair = wanted(2, linked=True)
    linked = canonical(host(loose=gpus(2, link=1)))
    loose = canonical(host(loose=gpus(2)))
    policy = made({pair: 1, wanted(1): 1}, [linked, loose])
    assert choose(policy, [linked, loose], wanted(1)) == 1


def test_dear_gpus_are_kept_for_those_who_ask_for_them():
    values = {"H100": 18.0, "T4": 1.0}
    hosts = [plain(2), plain(2, model="T4")]
    policy = made({wanted(1): 1, wanted(1, model="H100"): 1}, hosts, values.__getitem__)
    assert choose(policy, hosts, wanted(1)) == 1


def weights(policy):
    return dict(zip(policy.classes, policy.weights(), strict=True))


def test_places_count_more_the_fewer_there_are_for_what_will_be_asked_for():
    hosts = [plain(8)] * 4 + [plain(1)] * 10
    policy = made({ONE: 8, EIGHT: 1}, hosts)
    # Half of the 42 free GPUs will be asked for by servers of eight, which have 32. Those of one
    # compete with them for all 42.
    assert weights(policy) == pytest.approx({ONE: 1, EIGHT: 8 * (21 / 32) ** 5})
    policy.observe("host0", plain(0))
    assert weights(policy) == pytest.approx({ONE: 1, EIGHT: 8 * (17 / 24) ** 5})


def test_a_place_counts_no_more_than_the_server_that_takes_it():
    # Servers of eight want half of 108 GPUs and find 8.
    policy = made({ONE: 8, EIGHT: 1}, [plain(8)] + [plain(1)] * 100)
    assert weights(policy) == {ONE: 1, EIGHT: 8}


def test_a_place_counts_a_hundredth_however_many_there_are():
    # Servers of eight want a hundredth of the GPUs, and could have all.
    hosts = [plain(8)] * 10
    policy = made({ONE: 99 * 8, EIGHT: 1}, hosts)
    assert weights(policy) == pytest.approx({ONE: 1, EIGHT: 8 * 0.01})


def test_whole_hosts_are_kept_while_there_are_plenty():
    # 80 servers of eight could start, and hardly any is asked for. On the used host one that needs
    # three vCPUs finds no place any more; on a whole one all do, as 23 vCPUs suffice for seven.
    small, middle, whole = wanted(1, vcpus=1), wanted(1, vcpus=3), wanted(8, vcpus=16)
    hosts = [plain(8, vcpus=23)] * 80 + [plain(3, vcpus=6)]
    policy = made({small: 400, middle: 600, whole: 1}, hosts)
    assert choose(policy, hosts, small) == 80


def test_what_will_be_asked_for_is_told_from_the_free_gpus_of_the_model():
    small, large = wanted(1, model="T4"), wanted(4, model="T4")
    policy = made({wanted(1, model="H100"): 100, small: 4, large: 1}, [plain(8, model="T4")])
    policy.observe("other", plain(4))
    assert weights(policy)[large] == pytest.approx(4 * (4 / 8) ** 5)
    assert weights(policy)[small] == 1


def test_what_no_host_can_take_does_not_count():
    policy = made({ONE: 1, EIGHT: 1}, [plain(4)])
    assert weights(policy) == {ONE: 1, EIGHT: 0}


def test_without_a_mix_hosts_are_packed():
    hosts = [plain(8), plain(3), plain(5)]
    assert choose(made({}, hosts), hosts, ONE) == 1


def test_equally_cheap_hosts_are_packed():
    hosts = [plain(8), plain(2), plain(4)]
    assert choose(made({ONE: 1}, hosts), hosts, ONE) == 1


def test_ranks_stand_clearly_apart_at_the_top():
    hosts = [plain(n) for n in (5, 1, 3, 1)]
    offers = [Offer(state, placements(state, ONE)[0]) for state in hosts]
    assert made({ONE: 1}, hosts).rank(offers) == [1 / 3, 1, 1 / 2, 1]


def test_quality_goes_before_price():
    hosts = [plain(1), plain(8)]
    offers = [
        Offer(state, placements(state, ONE)[0], quality)
        for state, quality in zip(hosts, (0.75, 1.0), strict=True)
    ]
    assert made({ONE: 5, EIGHT: 1}, hosts).rank(offers) == [1 / 2, 1]


def test_a_state_that_changes_changes_the_supply():
    policy = made({ONE: 1, EIGHT: 1}, [plain(8), plain(1)])
    assert dict(zip(policy.classes, policy.supply, strict=True)) == {ONE: 9, EIGHT: 8}
    policy.observe("host0", plain(0))
    policy.forget("host1")
    policy.forget("nobody")
    assert list(policy.supply) == [0, 0]


def test_where_the_host_is_not_known_as_a_whole_it_packs():
    offer, request = host_gpus([gpu(n) for n in range(4)]), gpu_request(1)
    choice = fit(offer, request)[0]
    assert Fragmentation().score(offer, request, choice) == Pack().score(offer, request, choice)


def test_it_begins_with_the_mix_of_a_file(tmp_path):
    path = tmp_path / "mix.yaml"
    path.write_text(mixes.dump({ONE: 5, EIGHT: 1}))
    policy = made({}, [plain(8), plain(5, 20, 200)])
    policy.configure(Settings(path, 0, {"H100": 3.0}))
    assert set(policy.classes) == {ONE, EIGHT}
    assert sorted(policy.supply) == [8, 13]
    assert policy.worths(plain(8))[policy.classes.index(EIGHT)] == 8 * 3.0


def test_a_bad_file_is_told(tmp_path):
    with pytest.raises(UserError, match="name a readable file"):
        Fragmentation().configure(Settings(tmp_path / "none.yaml"))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(states(), min_size=1, max_size=6).map(lambda some: list(map(canonical, some))),
    st.lists(classes(), min_size=1, max_size=12),
    st.integers(1, 4),
)
def test_what_is_kept_is_what_a_new_policy_finds(hosts, asked, most):
    """Learning, dropping classes and changing states leave nothing stale behind."""
    policy = Fragmentation(Mix(half_life=3, most=most))
    for turn, some in enumerate(asked):
        policy.learn(some)
        policy.observe(f"host{turn % 3}", hosts[turn % len(hosts)])
        for state in hosts:
            policy.worths(state)
    now = {f"host{turn % 3}": hosts[turn % len(hosts)] for turn in range(len(asked))}
    assert list(policy.supply) == [
        sum(usable(state, some) for state in now.values()) for some in policy.classes
    ]
    fresh = Fragmentation(policy._mix)
    for name, state in now.items():
        fresh.observe(name, state)
    order = [fresh.classes.index(some) for some in policy.classes]
    assert policy.weights() == pytest.approx([fresh.weights()[index] for index in order])
    for state in hosts:
        assert list(policy.worths(state)) == [fresh.worths(state)[index] for index in order]


@settings(max_examples=100, deadline=None)
@given(states(most_cells=2), classes(), st.lists(classes(least_gpus=1), min_size=1, max_size=5))
def test_prices_are_never_negative_and_only_what_is_lost_costs(state, some, asked):
    state = canonical(state)
    # More than that are counted roughly.
    exact = {other: 1 for other in asked if other.numa_cells in (0, 1, len(state.cells))}
    policy = made(exact, [state], {"A": 7.0, "B": 3.0}.__getitem__)
    assert policy.price(state, state) == 0
    for after in placements(state, some):
        assert policy.price(state, after) >= 0


def test_memory_of_states_is_bounded(monkeypatch):
    monkeypatch.setattr("nova_gpu_passthrough.policies.fragmentation._SPARE_STATES", 10)
    policy = made({ONE: 1}, [plain(8), plain(4)])
    for vcpus in range(200):
        policy.price(plain(8), plain(7, vcpus=vcpus))
    assert len(policy._known) < 20
    assert list(policy.supply) == [12]
