# SPDX-License-Identifier: Apache-2.0
"""Lists of CPUs."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.files import cpu_list


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("", ()),
        ("0", (0,)),
        ("0-2", (0, 1, 2)),
        ("4,0-1", (0, 1, 4)),
        ("1,1-2", (1, 2)),
        (" 1 , 2-3", (1, 2, 3)),
    ],
)
def test_a_list_is_parsed(text, cpus):
    assert cpu_list.parse(text) == cpus


@pytest.mark.parametrize("text", ["a", "1-", "-1", "2-1", "0-99999999999", "1 2", "1;2", "0x1"])
def test_an_invalid_list_raises(text):
    with pytest.raises(ValueError):
        cpu_list.parse(text)


def test_consecutive_cpus_become_a_range():
    assert cpu_list.to_text({5, 0, 1, 2, 7, 8}) == "0-2,5,7-8"
    assert cpu_list.to_text(()) == ""


@given(st.sets(st.integers(0, 1000)))
def test_a_formatted_list_is_parsed_back(cpus):
    assert set(cpu_list.parse(cpu_list.to_text(cpus))) == cpus


@given(st.text(max_size=40))
def test_any_text_is_a_list_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert all(0 <= cpu < 16384 for cpu in cpu_list.parse(text))
