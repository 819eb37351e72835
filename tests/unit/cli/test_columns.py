# SPDX-License-Identifier: Apache-2.0
"""Cells for people and for programs."""

import pytest

from nova_gpu_passthrough.cli.columns import ByKey, Maybe, Path, Words


@pytest.mark.parametrize(
    ("cell", "human", "machine"),
    [
        (Maybe(None), "", None),
        (Maybe(0), "0", 0),
        (Maybe("x"), "x", "x"),
        (Words(()), "", []),
        (Words(("a", 1)), "a, 1", ["a", 1]),
        (Words(dict.fromkeys("ab")), "a, b", ["a", "b"]),
        (Path(("a", "b")), "a/b", ["a", "b"]),
        (ByKey({}), "", {}),
        (ByKey({0: 4, None: 1}), "0: 4, ?: 1", {"0": 4, "?": 1}),
    ],
)
def test_both_forms(cell, human, machine):
    assert (cell.human_readable(), cell.machine_readable()) == (human, machine)
