# SPDX-License-Identifier: Apache-2.0
"""Texts of refusals."""

from nova_gpu_passthrough.nova_rules.refusal import (
    CONSTRAINT_OF,
    Constraint,
    FailedConstraint,
    Refusal,
    Stage,
    format_counts,
)
from nova_gpu_passthrough.topology.fit import FitReason


def test_every_reason_of_the_filter_has_a_constraint():
    assert set(CONSTRAINT_OF) == set(FitReason)


def test_all_constraints_that_fail_are_named_each_once():
    refusal = Refusal.of(
        [
            FailedConstraint(Constraint.GPUS, "no GPU"),
            FailedConstraint(Constraint.VCPUS, "no PCPU"),
            FailedConstraint(Constraint.VCPUS, "no VCPU"),
        ],
        Stage.PLACEMENT,
    )
    assert refusal.constraint is Constraint.GPUS
    assert refusal.constraints == (Constraint.GPUS, Constraint.VCPUS)
    assert refusal.label == "by Placement (gpus, vcpus)"
    assert refusal.text == "no GPU; no PCPU; no VCPU"


def test_no_failed_constraint_is_no_refusal():
    assert Refusal.of([], Stage.PLACEMENT) is None


def test_the_text_begins_with_the_reason_of_the_filter():
    refusal = Refusal(Constraint.NUMA, "1 free", Stage.GPU_FILTER, FitReason.NUMA)
    assert refusal.text == "free GPUs are not on allowed NUMA nodes: 1 free"


def test_the_state_after_further_servers_is_named_as_such():
    refusal = Refusal(Constraint.RAM, "1 MiB free", Stage.PLACEMENT)
    assert refusal.after(0) == "1 MiB free"
    assert refusal.after(4) == "after 4 more: 1 MiB free"


def test_the_most_frequent_reason_comes_first():
    assert format_counts({"a": 1, "c": 2, "b": 2}) == "2 b, 2 c, 1 a"
    assert format_counts({}) == ""
