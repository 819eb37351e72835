# SPDX-License-Identifier: Apache-2.0
"""The policy ``spread``."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.policies.pack import Pack
from nova_gpu_passthrough.policies.spread import Spread
from tests.unit.policies.test_pack import score


def test_the_emptiest_host_is_preferred():
    assert score(Spread(), 2, 2) == 0.0
    assert score(Spread(), 8, 1) > score(Spread(), 4, 1) > score(Spread(), 2, 1)


@settings(max_examples=50)
@given(st.integers(1, 70), st.data())
def test_scores_are_between_0_and_1_and_the_opposite_of_pack(free, data):
    count = data.draw(st.integers(1, min(free, 64)))
    pack, spread = score(Pack(), free, count), score(Spread(), free, count)
    assert 0 <= pack <= 1
    assert pack + spread == pytest.approx(1)
