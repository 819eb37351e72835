# SPDX-License-Identifier: Apache-2.0
"""Lists of hosts, folded for people and for shells."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.inventory.host_list import fold, shell_words


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        ([], []),
        (["control"], ["control"]),
        (["gpu01"], ["gpu01"]),
        ([f"gpu{n:03}" for n in range(1, 201)], ["gpu[001-200]"]),
        (["gpu9", "gpu10", "gpu11", "gpu8"], ["gpu[8-11]"]),
        (["gpu09", "gpu10", "gpu1"], ["gpu[09-10]", "gpu1"]),
        (["gpu1", "gpu2", "gpu4"], ["gpu[1-2]", "gpu4"]),
        (
            ["gpu1.site2.org", "gpu2.site2.org", "gpu2.site3.org"],
            ["gpu[1-2].site2.org", "gpu2.site3.org"],
        ),
        (["rack1-gpu1", "rack1-gpu2", "rack2-gpu1"], ["rack1-gpu[1-2]", "rack2-gpu1"]),
        (["b", "a", "b"], ["a", "b"]),
        (["10.0.0.1"], ["10.0.0.1"]),
    ],
)
def test_consecutive_numbers_are_folded(names, folded):
    assert fold(names) == folded


_NAMES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["gpu", "rack1-gpu", "", "node-"]),
    st.sampled_from(["0", "1", "2", "3", "01", "02", "9", "10", "09", "010", ""]),
    st.sampled_from(["", ".example.org", "a"]),
).filter(bool)


@settings(max_examples=60, deadline=None)
@given(st.sets(_NAMES, min_size=1))
def test_a_shell_makes_the_names_again(names):
    """As in a pasted loop."""
    words = shell_words(names)
    run = subprocess.run(
        ["bash", "-c", f"for host in {' '.join(words)}; do echo $host; done"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(run.stdout.split()) == sorted(names)
    assert len(words) == len(fold(names))
