# SPDX-License-Identifier: Apache-2.0
"""Columns for people and for programs."""

import pytest

from nova_gpu_passthrough.cli.listing import DictColumn, ListColumn, OptionalColumn, PathColumn


@pytest.mark.parametrize(
    ("cell", "human", "machine"),
    [
        (OptionalColumn(None), "", None),
        (OptionalColumn(0), "0", 0),
        (OptionalColumn("x"), "x", "x"),
        (ListColumn(()), "", []),
        (ListColumn(("a", 1)), "a, 1", ["a", 1]),
        (ListColumn(dict.fromkeys("ab")), "a, b", ["a", "b"]),
        (PathColumn(("a", "b")), "a/b", ["a", "b"]),
        (DictColumn({}), "", {}),
        (DictColumn({0: 4, None: 1}), "0: 4, ?: 1", {"0": 4, "?": 1}),
    ],
)
def test_values(cell, human, machine):
    assert (cell.human_readable(), cell.machine_readable()) == (human, machine)
