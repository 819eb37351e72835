# SPDX-License-Identifier: Apache-2.0
"""One summary per request, and each warning once."""

import logging

from nova_gpu_passthrough.scheduler.refusal_log import HostWarnings, RefusalLog
from nova_gpu_passthrough.topology.fit import FitReason, FitRefusal


def test_the_summary_counts_hosts_by_reason_with_the_most_frequent_first(logged):
    refusal_log = RefusalLog("server-1", "h100:4")
    refusal_log.count_passed()
    for host, reason in (("a", FitReason.LINK), ("b", FitReason.NO_GPUS), ("c", FitReason.NO_GPUS)):
        refusal_log.count_refused(host, FitRefusal(reason, "numbers"))
    refusal_log.log_summary(logging.INFO)
    (line,) = logged("INFO")
    assert line == (
        "GPU request h100:4 of server server-1: 1 of 4 hosts fit; refused: "
        "2 no free GPU of that kind, 1 free GPUs are not in one link group"
    )


def test_the_summary_without_refusals(logged):
    refusal_log = RefusalLog("server-1", "h100:1")
    refusal_log.count_passed()
    refusal_log.log_summary(logging.INFO)
    assert logged("INFO") == ["GPU request h100:1 of server server-1: 1 of 1 hosts fit"]


def test_every_refusal_is_logged_with_details_at_debug(logged):
    RefusalLog("server-1", "h100:4").count_refused(
        "host-a", FitRefusal(FitReason.TOO_FEW_GPUS, "4 requested, 1 free")
    )
    (line,) = logged("DEBUG")
    for part in ("host-a", "h100:4", "server-1", "too few free GPUs", "4 requested, 1 free"):
        assert part in line


def test_a_warning_is_logged_once_per_host_and_problem(logged):
    warnings = HostWarnings()
    for host, problem in (("a", "x"), ("a", "x"), ("b", "x"), ("a", "y"), ("a", "x")):
        warnings.warn(host, problem, "it is ignored")
    assert logged("WARNING") == [
        "Host a: x; it is ignored",
        "Host b: x; it is ignored",
        "Host a: y; it is ignored",
    ]


def test_beyond_a_limit_no_warning_is_logged_or_repeated(monkeypatch, logged):
    monkeypatch.setattr("nova_gpu_passthrough.scheduler.refusal_log._MAX_WARNINGS", 2)
    warnings = HostWarnings()
    for problem in ("1", "2", "3", "1", "3", "4"):
        warnings.warn("a", problem, "it is ignored")
    assert logged("WARNING") == [
        "Host a: 1; it is ignored",
        "Host a: 2; it is ignored",
        "No more warnings about hosts are logged until nova-scheduler is restarted",
    ]
