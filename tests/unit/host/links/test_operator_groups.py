# SPDX-License-Identifier: Apache-2.0
"""Link groups that the operator names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host.links import operator_groups
from tests.unit.host.links import hosts

GPUS = hosts.addresses(4)
A, B, C, D = GPUS


def test_a_group_and_its_partitions():
    assert operator_groups.parse(
        [f"nvs0={A},{B},{C}", f"nvs0/q0={A}", f"nvs0/q0/p1={A},{B}"], GPUS
    ) == {
        A: ("nvs0", "q0", "p1"),
        B: ("nvs0", "q0", "p1"),
        C: ("nvs0",),
    }


def test_short_and_upper_case_addresses():
    assert operator_groups.parse(["x=0F:00.0, 00000000:10:00.0"], GPUS) == {A: ("x",), B: ("x",)}


@pytest.mark.parametrize(
    "options, message",
    [
        (["nvs0"], "link group 'nvs0': expected NAME=ADDRESS"),
        ([f"={A}"], "expected NAME=ADDRESS"),
        ([f"a//b={A}"], "expected NAME=ADDRESS"),
        ([f"a b={A}"], "expected NAME=ADDRESS"),
        ([f"a/b/c/d/e={A}"], "at most 4 levels"),
        (["a="], "'' is not a PCI address"),
        ([f"a={A},"], "'' is not a PCI address"),
        (["a=GPU0"], "'GPU0' is not a PCI address"),
        (["a=0000:ff:00.0"], "0000:ff:00.0 is not a GPU of this host, expected one of: 0000:0f"),
        ([f"a={A},{A}"], "names a GPU twice"),
        ([f"a={A}", f"b={A}"], f"{A} is in a and in b; name it in one"),
        ([f"a/q0={A}", f"a/q1={A}"], "is in a/q0 and in a/q1"),
        ([f"a/q0={A}", f"a/q1/p0={A}"], "is in a/q0 and in a/q1/p0"),
    ],
)
def test_an_invalid_option_is_rejected(options, message):
    with pytest.raises(UserError, match=message):
        operator_groups.parse(options, GPUS)


@given(st.permutations([f"n={A},{B},{C},{D}", f"n/q0={A},{B}", f"n/q1={C},{D}", f"n/q1/p0={D}"]))
def test_the_order_of_options_does_not_matter(options):
    assert operator_groups.parse(options, GPUS) == {
        A: ("n", "q0"),
        B: ("n", "q0"),
        C: ("n", "q1"),
        D: ("n", "q1", "p0"),
    }


@given(st.lists(st.text(max_size=20) | st.sampled_from([A, "a=" + A, f"a={A},{B}", "=", ","])))
def test_any_options_are_read_or_rejected(options):
    try:
        found = operator_groups.parse(options, GPUS)
    except UserError:
        return
    assert found.keys() <= set(GPUS)
    assert all(path and all(path) for path in found.values())
