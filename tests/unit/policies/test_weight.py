# SPDX-License-Identifier: Apache-2.0
import pytest

from nova_gpu_passthrough.policies.weight import weight
from nova_gpu_passthrough.scheduler import weights


@pytest.mark.parametrize(
    ("quality", "score", "expected"),
    [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.5, 1.0, 0.6), (1.0, -3.0, 0.8), (1.0, 7.0, 1.0)],
)
def test_quality_weighs_more_than_the_policy(quality, score, expected):
    assert weight(quality, score) == pytest.approx(expected)


def test_the_weigher_weighs_alike():
    assert (weight(1.0, 0.0), weight(0.0, 1.0)) == (weights._QUALITY, weights._POLICY)
