# SPDX-License-Identifier: Apache-2.0
"""One line per request, and a warning once."""

import logging

from nova_gpu_passthrough.scheduler import refusal_log
from nova_gpu_passthrough.scheduler.refusal_log import Tally, Warnings
from nova_gpu_passthrough.topology.fit import Reason, Refusal


def test_the_line_counts_hosts_by_reason_the_most_frequent_first(logged):
    count = Tally("server-1", "h100:4")
    count.fits()
    for host, reason in (("a", Reason.LINK), ("b", Reason.NO_GPUS), ("c", Reason.NO_GPUS)):
        count.refuses(host, Refusal(reason, "numbers"))
    count.log(logging.INFO)
    (line,) = logged("INFO")
    assert line == (
        "GPU request h100:4 of server server-1: 1 of 4 hosts fit; refused: "
        "2 no free GPU of that kind, 1 free GPUs are not in one link group"
    )


def test_the_line_without_refusals(logged):
    count = Tally("server-1", "h100:1")
    count.fits()
    count.log(logging.INFO)
    assert logged("INFO") == ["GPU request h100:1 of server server-1: 1 of 1 hosts fit"]


def test_every_refusal_is_told_in_detail_at_debug(logged):
    Tally("server-1", "h100:4").refuses("host-a", Refusal(Reason.TOO_FEW_GPUS, "4 wanted, 1 free"))
    (line,) = logged("DEBUG")
    for part in ("host-a", "h100:4", "server-1", "too few free GPUs", "4 wanted, 1 free"):
        assert part in line


def test_the_same_warning_comes_once_per_host_and_problem(logged):
    warnings = Warnings()
    for host, problem in (("a", "x"), ("a", "x"), ("b", "x"), ("a", "y"), ("a", "x")):
        warnings.warn(host, problem, "so what")
    assert logged("WARNING") == [
        "Host a: x; so what",
        "Host b: x; so what",
        "Host a: y; so what",
    ]


def test_the_memory_for_warnings_is_bounded(monkeypatch, logged):
    monkeypatch.setattr(refusal_log, "_MOST_WARNINGS", 2)
    warnings = Warnings()
    for problem in ("1", "2", "3", "1"):
        warnings.warn("a", problem, "so what")
    assert len(logged("WARNING")) == 3
    assert len(warnings._said) == 2
