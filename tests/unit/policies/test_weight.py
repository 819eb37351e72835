# SPDX-License-Identifier: Apache-2.0
import pytest

from nova_gpu_passthrough.policies.weight import weight


@pytest.mark.parametrize(
    ("quality", "score", "expected"),
    [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.5, 1.0, 0.6), (1.0, -3.0, 0.8), (1.0, 7.0, 1.0)],
)
def test_quality_weighs_more_than_the_policy(quality, score, expected):
    assert weight(quality, score) == pytest.approx(expected)
