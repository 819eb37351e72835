# SPDX-License-Identifier: Apache-2.0
"""How often servers of which class are asked for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.request_class import Reach, RequestClass
from nova_gpu_passthrough.policies import mix
from nova_gpu_passthrough.policies.mix import Mix
from tests.unit.packing.host_states import classes, wanted


def shares(some):
    """Each class's part of the whole."""
    total = sum(some.counts.values())
    return {wanted.gpus: count / total for wanted, count in some.counts.items()}


def test_equal_classes_are_one_whatever_their_names():
    one, other = RequestClass("a", 2, vcpus=4), RequestClass("b", 2, vcpus=4)
    assert list(Mix([(one, 2), (other, 3)]).counts.values()) == [5]


def test_classes_without_gpus_and_without_servers_are_left_out():
    assert Mix({wanted(0): 7, wanted(1): 0}).counts == {}


def test_only_the_classes_that_weigh_most_are_kept():
    some = {wanted(1): 10, wanted(8): 1, wanted(2): 2}
    assert {kept.gpus for kept in Mix(some, most=2).counts} == {8, 1}


def test_nothing_is_learned_without_a_half_life():
    fixed = Mix({wanted(1): 1})
    assert fixed.note(wanted(2)) is None
    assert shares(fixed) == {1: 1}


def test_after_its_half_life_a_request_counts_half():
    learned = Mix(half_life=10)
    learned.note(wanted(1))
    for _ in range(10):
        learned.note(wanted(2))
    older, newer = learned.counts[wanted(1)], learned.counts[wanted(2)]
    # The ten newer ones count 1, 2^-0.1, 2^-0.2 and so on.
    assert older / newer == pytest.approx(0.5 / sum(2 ** (-age / 10) for age in range(10)))


def test_what_was_given_fades_to_half_in_a_half_life():
    some = Mix({wanted(1): 3, wanted(2): 1}, half_life=100)
    for _ in range(100):
        some.note(wanted(4))
    assert shares(some) == pytest.approx({1: 0.375, 2: 0.125, 4: 0.5})


def test_learning_for_ever_neither_overflows_nor_grows():
    some = Mix(half_life=1, most=4)
    for number in range(5000):
        some.note(wanted(1 + number % 6))
    assert len(some.counts) == 4
    assert all(0 < count < 1e101 for count in some.counts.values())


def test_the_class_that_is_dropped_is_told():
    some = Mix({wanted(1): 1, wanted(8): 1}, half_life=5, most=2)
    assert some.note(wanted(8)) is None
    assert some.note(wanted(4)) == wanted(1)
    assert wanted(1) not in some.counts


FILE = """\
schema: nova-gpu-passthrough/mix
version: 1
classes:
- {name: small, count: 3, gpus: 1, vcpus: 8, ram_mib: 4096}
- {name: again, count: 2, gpus: 1, vcpus: 8, ram_mib: 4096}
- count: 0.5
  gpus: 8
  model: H100-SXM
  pinned_cpus: 96
  numa_cells: 2
  linked: true
"""


def test_a_file_names_classes_and_counts(tmp_path):
    path = tmp_path / "mix.yaml"
    path.write_text(FILE)
    small = RequestClass("small", 1, vcpus=8, ram_mib=4096)
    large = RequestClass(
        "class 3",
        8,
        "H100-SXM",
        pinned_cpus=96,
        numa_cells=2,
        reach=Reach.NOT_FAR,
        linked=True,
    )
    assert mix.load(path) == {small: 5, large: 0.5}


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ("gpus: 8", "gpus: 0", "key classes[2].gpus: 0 is less than the minimum of 1"),
        ("count: 0.5", "count: -1", "key classes[2].count: -1 is less than the minimum of 0"),
        ("linked: true", "link: true", "key classes[2]: Additional properties are not allowed"),
        ("version: 1", "version: 2", "key version: 1 was expected"),
    ],
)
def test_what_is_wrong_in_a_file_is_told(tmp_path, old, new, sentence):
    path = tmp_path / "mix.yaml"
    path.write_text(FILE.replace(old, new))
    with pytest.raises(UserError) as caught:
        mix.load(path)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(f"{path}:")


def test_the_most_frequent_classes_come_first(tmp_path):
    text = mix.dump({wanted(1): 2, wanted(2): 7.5})
    assert text.index("count: 7.5") < text.index("count: 2")


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(classes(least_gpus=1), st.integers(1, 99) | st.floats(0.01, 99), max_size=5))
def test_what_is_written_is_read_again(tmp_path_factory, counts):
    path = tmp_path_factory.mktemp("mix") / "mix.yaml"
    # Without NUMA topology, no policy but gpu:numa=required keeps GPUs near.
    counts = {
        some: count for some, count in counts.items() if some.numa_cells or some.reach != Reach(1)
    }
    path.write_text(mix.dump(counts))
    assert mix.load(path) == pytest.approx(counts)
