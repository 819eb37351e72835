# SPDX-License-Identifier: Apache-2.0
"""Texts of refusals."""

from nova_gpu_passthrough.nova_rules.refusal import (
    CONSTRAINT_OF,
    Constraint,
    Refusal,
    Stage,
    format_counts,
)
from nova_gpu_passthrough.topology.fit import FitReason


def test_every_reason_of_the_filter_has_a_constraint():
    assert set(CONSTRAINT_OF) == set(FitReason)


def test_the_label_is_the_reason_of_the_filter_or_the_constraint():
    by_filter = Refusal(Constraint.GPUS, "1 free", Stage.GPU_FILTER, FitReason.TOO_FEW_GPUS)
    assert by_filter.label == "too few free GPUs"
    assert Refusal(Constraint.RAM, "1 MiB free", Stage.PLACEMENT).label == "ram"


def test_the_most_frequent_reason_comes_first():
    assert format_counts({"a": 1, "c": 2, "b": 2}) == "2 b, 2 c, 1 a"
    assert format_counts({}) == ""
