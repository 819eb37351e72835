# SPDX-License-Identifier: Apache-2.0
from nova_gpu_passthrough.nova_rules.why_not import CAUSE_OF, Cause, Refused, Stage, counted
from nova_gpu_passthrough.topology.fit import Reason


def test_every_reason_of_the_filter_has_a_cause():
    assert set(CAUSE_OF) == set(Reason)


def test_the_filters_own_words_come_first():
    by_filter = Refused(Cause.GPUS, "1 free", Stage.GPU_FILTER, Reason.TOO_FEW_GPUS)
    assert by_filter.constraint == "too few free GPUs"
    assert Refused(Cause.RAM, "1 MiB free", Stage.PLACEMENT).constraint == "ram"


def test_the_most_frequent_reason_comes_first():
    assert counted({"a": 1, "c": 2, "b": 2}) == "2 b, 2 c, 1 a"
    assert counted({}) == ""
