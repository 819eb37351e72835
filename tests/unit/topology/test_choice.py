# SPDX-License-Identifier: Apache-2.0
"""Device choice, compared with trying every set, and its invariants."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.topology import choice, search
from nova_gpu_passthrough.topology.choice import choose
from nova_gpu_passthrough.topology.model import Preference
from nova_gpu_passthrough.topology.search import ChoiceRules
from tests.unit import builders, strategies
from tests.unit.topology import brute_force


@st.composite
def problems(draw, least=1, most=8):
    """Draw free GPUs, rules, and companions that are either requested or only present."""
    gpus = draw(strategies.gpu_lists(least, most))
    kinds = draw(st.integers(0, 2))
    requested = tuple(draw(st.integers(0, 3)) for _ in range(kinds))
    companions = ()
    if kinds or draw(st.booleans()):
        per_gpu = st.tuples(*[st.integers(0, 2 if kinds else 1)] * max(1, kinds))
        companions = draw(st.lists(per_gpu, min_size=len(gpus), max_size=len(gpus)))
    rules = ChoiceRules(
        draw(st.integers(1, len(gpus))),
        draw(strategies.PREFERENCES),
        draw(strategies.PREFERENCES),
        draw(st.none() | st.integers(1, 3)),
        requested,
    )
    return gpus, rules, companions


def check_against_brute_force(problem, rng=None):
    gpus, rules, companions = problem
    expected = brute_force.best_sets(gpus, rules, companions)
    result = choose(gpus, rules, companions, rng)
    if expected is None:
        assert result is None
        return
    assert result is not None
    chosen, cost = result
    positions = tuple(sorted(gpus.index(gpu) for gpu in chosen))
    assert len(set(positions)) == rules.count
    assert brute_force.allowed(gpus, rules, companions, positions)
    assert brute_force.cost(gpus, rules, companions, positions) == expected[0]
    assert tuple(cost) == expected[0]


@settings(max_examples=250)
@given(problems())
def test_no_set_is_better_than_the_chosen_one(problem):
    check_against_brute_force(problem)


@settings(max_examples=40)
@given(problems(least=9, most=12))
def test_no_set_is_better_on_a_host_with_up_to_twelve_gpus(problem):
    check_against_brute_force(problem)


@settings(max_examples=10)
@given(problems(least=16, most=16))
def test_no_set_is_better_on_a_host_with_sixteen_gpus(problem):
    check_against_brute_force(problem)


@settings(max_examples=200)
@given(problems(), st.integers(0, 9))
def test_a_random_pick_is_as_good_as_any(problem, seed):
    check_against_brute_force(problem, random.Random(seed))


@settings(max_examples=100)
@given(problems(most=6))
def test_each_of_few_equally_good_sets_is_chosen_at_times(problem):
    gpus, rules, companions = problem
    expected = brute_force.best_sets(gpus, rules, companions)
    if expected is None or len(expected[1]) > 6:
        return
    rng = random.Random(1)
    picked = set()
    for _ in range(300):
        chosen, _cost = choose(gpus, rules, companions, rng)
        picked.add(tuple(sorted(gpus.index(gpu) for gpu in chosen)))
    assert picked == set(expected[1])


@settings(max_examples=150)
@given(problems(), st.randoms(use_true_random=False))
def test_the_order_of_the_gpus_does_not_matter(problem, shuffler):
    gpus, rules, companions = problem
    order = list(range(len(gpus)))
    shuffler.shuffle(order)
    shuffled = [gpus[i] for i in order]
    moved = [companions[i] for i in order] if companions else ()
    assert choose(shuffled, rules, moved) == choose(gpus, rules, companions)


@settings(max_examples=150)
@given(problems())
def test_names_do_not_matter(problem):
    gpus, rules, companions = problem
    renamed = [
        gpu._replace(
            numa_node=None if gpu.numa_node is None else 7 - gpu.numa_node,
            switch=gpu.switch and f"{5 - ord(gpu.switch[0])} other",
            link_group=tuple(name[::-1] + "!" for name in gpu.link_group),
        )
        for gpu in gpus
    ]
    before, after = choose(gpus, rules, companions), choose(renamed, rules, companions)
    assert (before is None) == (after is None)
    if before:
        assert after[1] == before[1]
        assert builders.numbers(after[0]) == builders.numbers(before[0])


@settings(max_examples=100)
@given(strategies.gpu_lists(least=2), st.integers(1, 3))
def test_choices_one_after_the_other_never_overlap(gpus, count):
    free = list(gpus)
    taken = []
    while (result := choose(free, ChoiceRules(count))) is not None:
        taken += result[0]
        free = [gpu for gpu in free if gpu not in result[0]]
    assert len(free) < count
    assert len(taken) == len(set(taken)) == len(gpus) - len(free)


def test_without_a_random_generator_the_lowest_addresses_win():
    gpus = [builders.gpu(number) for number in (9, 3, 5)]
    assert builders.numbers(choose(gpus, ChoiceRules(2))[0]) == [3, 5]


def test_the_set_is_in_the_order_of_addresses():
    chosen, _cost = choose(builders.hgx([7, 2, 6, 0]), ChoiceRules(4), (), random.Random(0))
    assert [gpu.address for gpu in chosen] == sorted(gpu.address for gpu in chosen)


@pytest.mark.parametrize("count", [-1, 0, 3])
def test_no_set_for_an_impossible_number_of_gpus(count):
    assert choose(builders.hgx([0, 1]), ChoiceRules(count)) is None


def test_no_set_on_a_host_without_gpus():
    assert choose([], ChoiceRules(1)) is None


def irregular(count):
    """Return GPUs that all differ, so that each is a separate class of the search."""
    return [
        builders.gpu(
            number,
            node=number % 4,
            link=f"g{number % 3}/h{number % 5}/q{number % 7}",
            switch=f"s{number % 6}",
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("count", range(1, 17))
@pytest.mark.parametrize("link", Preference)
def test_the_search_is_exact_for_sixteen_gpus(count, link):
    one = search.Search(choice._shapes(irregular(16), ()), ChoiceRules(count, link))
    one.run()
    assert one.steps < search.MAX_STEPS


@settings(max_examples=60)
@given(problems(least=16, most=16))
def test_the_search_stays_below_its_limit_with_sixteen_gpus(problem):
    gpus, rules, companions = problem
    one = search.Search(choice._shapes(gpus, companions), rules)
    one.run()
    assert one.steps < search.MAX_STEPS


def test_beyond_its_limit_the_search_still_finds_a_set():
    one = search.Search(choice._shapes(irregular(24), ()), ChoiceRules(8), max_steps=50)
    solution = one.run()
    assert sum(solution.picks[0]) == 8
    assert one.steps < 500


def test_companions_of_many_gpus_are_found_before_the_limit():
    # Only the last cards have companions.
    gpus = [
        gpu._replace(numa_node=n % 3, switch=f"s{n % 5}") for n, gpu in enumerate(irregular(20))
    ]
    companions = [(int(n >= 12),) for n in range(20)]
    chosen, _cost = choose(gpus, ChoiceRules(8, companions=(8,)), companions)
    assert builders.numbers(chosen) == list(range(12, 20))
