# SPDX-License-Identifier: Apache-2.0
"""The mix of requests."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass
from nova_gpu_passthrough.policies import mix
from nova_gpu_passthrough.policies.mix import Mix
from tests.unit.packing.host_states import classes, request_class


def shares(some):
    """Return the share of each class, by its number of GPUs."""
    total = sum(some.counts.values())
    return {one.gpus: count / total for one, count in some.counts.items()}


def test_equal_classes_are_merged_whatever_their_names():
    one, other = RequestClass("a", 2, vcpus=4), RequestClass("b", 2, vcpus=4)
    assert list(Mix([(one, 2), (other, 3)]).counts.values()) == [5]


def test_classes_without_gpus_and_without_servers_are_left_out():
    assert Mix({request_class(0): 7, request_class(1): 0}).counts == {}


def test_only_the_most_important_classes_are_kept():
    some = {request_class(1): 10, request_class(8): 1, request_class(2): 2}
    assert {kept.gpus for kept in Mix(some, most=2).counts} == {8, 1}


def test_nothing_is_learned_without_a_half_life():
    fixed = Mix({request_class(1): 1})
    assert fixed.learn(request_class(2)) is None
    assert shares(fixed) == {1: 1}


def test_after_its_half_life_a_request_counts_half():
    learned = Mix(half_life=10)
    learned.learn(request_class(1))
    for _ in range(10):
        learned.learn(request_class(2))
    older, newer = learned.counts[request_class(1)], learned.counts[request_class(2)]
    # The ten newer requests count 1, 2^-0.1, 2^-0.2 and so on.
    assert older / newer == pytest.approx(0.5 / sum(2 ** (-age / 10) for age in range(10)))


def test_the_initial_counts_halve_in_a_half_life():
    some = Mix({request_class(1): 3, request_class(2): 1}, half_life=100)
    for _ in range(100):
        some.learn(request_class(4))
    assert shares(some) == pytest.approx({1: 0.375, 2: 0.125, 4: 0.5})


def test_learning_forever_neither_overflows_nor_grows():
    some = Mix(half_life=1, most=4)
    for number in range(5000):
        some.learn(request_class(1 + number % 6))
    assert len(some.counts) == 4
    assert all(0 < count < 1e101 for count in some.counts.values())


@pytest.mark.parametrize("half_life", [5e-324, 1e-300, 1e-4, 0.01])
def test_a_tiny_half_life_does_not_overflow(half_life):
    for counts in ({1: 5e-324, 2: 1e15}, {1: 5e-324}, {1: 1e15}):
        some = Mix({request_class(n): count for n, count in counts.items()}, half_life=half_life)
        for _ in range(50):
            some.learn(request_class(4))
        assert all(0 <= count < 1e300 for count in some.counts.values())
        assert some.counts[request_class(4)] > 0


def test_the_dropped_class_is_returned():
    some = Mix({request_class(1): 1, request_class(8): 1}, half_life=5, most=2)
    assert some.learn(request_class(8)) is None
    assert some.learn(request_class(4)) == request_class(1)
    assert request_class(1) not in some.counts


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


def test_a_file_contains_classes_and_counts(tmp_path):
    path = tmp_path / "mix.yaml"
    path.write_text(FILE)
    small = RequestClass("small", 1, vcpus=8, ram_mib=4096)
    large = RequestClass(
        "class 3",
        8,
        "H100-SXM",
        pinned_cpus=96,
        numa_cells=2,
        gpu_locality=GpuLocality.LOCAL_OR_UNKNOWN,
        linked=True,
    )
    assert mix.load(path) == {small: 5, large: 0.5}


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("gpus: 8", "gpus: 0", "key classes[2].gpus: must be at least 1, not 0"),
        ("count: 0.5", "count: -1", "key classes[2].count: must be at least 0, not -1"),
        ("linked: true", "link: true", "key classes[2]: unknown key link; did you mean linked?"),
        ("version: 1", "version: 2", "key version: must be 1, not 2"),
    ],
)
def test_invalid_files_are_refused(tmp_path, old, new, message):
    path = tmp_path / "mix.yaml"
    path.write_text(FILE.replace(old, new))
    with pytest.raises(UserError) as caught:
        mix.load(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}:")


def test_the_most_frequent_classes_come_first(tmp_path):
    text = mix.dump({request_class(1): 2, request_class(2): 7.5})
    assert text.index("count: 7.5") < text.index("count: 2")


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(classes(least_gpus=1), st.integers(1, 99) | st.floats(0.01, 99), max_size=5))
def test_a_dumped_mix_is_loaded_again(tmp_path_factory, counts):
    path = tmp_path_factory.mktemp("mix") / "mix.yaml"
    # Without NUMA topology, only gpu:numa=required requires GPUs on few nodes.
    counts = {
        some: count
        for some, count in counts.items()
        if some.numa_cells or some.gpu_locality != GpuLocality(1)
    }
    path.write_text(mix.dump(counts))
    assert mix.load(path) == pytest.approx(counts)
