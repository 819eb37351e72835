# SPDX-License-Identifier: Apache-2.0
"""One verdict per GPU from the failures of the host and its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.host.verdict import verdicts
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Remedy, Severity, Verdict
from nova_gpu_passthrough.inventory.pci import Gpu

GPUS = [Gpu(f"0000:0{n}:00.0", "H100-SXM", "catalogue", f"0000:0{n}:00") for n in range(3)]
A, B, C = (gpu.address for gpu in GPUS)
ORDER = [Verdict.READY, Verdict.CONFIGURE, Verdict.UNFIT]

FINDINGS = st.lists(
    st.builds(
        Finding,
        id=st.just("x.y"),
        severity=st.sampled_from(Severity),
        subject=st.sampled_from([HOST, A, B, C, "0000:ff:00.0"]),
        found=st.just("f"),
        source=st.just("s"),
        remedy=st.sampled_from(Remedy),
    ),
    max_size=6,
)


def _finding(subject, remedy, severity=Severity.FAILURE):
    return Finding("x.y", severity, subject, "f", "s", remedy=remedy)


@pytest.mark.parametrize("severity", [Severity.OK, Severity.WARNING])
@pytest.mark.parametrize("remedy", Remedy)
def test_only_failures_count(severity, remedy):
    assert set(verdicts(GPUS, [_finding(HOST, remedy, severity)]).values()) == {Verdict.READY}


@pytest.mark.parametrize(
    ("remedy", "verdict"),
    [
        (Remedy.CONFIGURATION, Verdict.CONFIGURE),
        (Remedy.FIRMWARE, Verdict.CONFIGURE),
        (Remedy.HARDWARE, Verdict.UNFIT),
        (Remedy.NONE, Verdict.UNFIT),
    ],
)
def test_what_fixes_it_decides(remedy, verdict):
    assert verdicts(GPUS, [_finding(B, remedy)]) == {A: Verdict.READY, B: verdict, C: Verdict.READY}
    assert set(verdicts(GPUS, [_finding(HOST, remedy)]).values()) == {verdict}


def test_the_worst_of_host_and_gpu_counts():
    found = verdicts(GPUS, [_finding(HOST, Remedy.CONFIGURATION), _finding(B, Remedy.HARDWARE)])
    assert found == {A: Verdict.CONFIGURE, B: Verdict.UNFIT, C: Verdict.CONFIGURE}


def test_no_gpus_no_verdicts():
    assert verdicts([], [_finding(HOST, Remedy.HARDWARE)]) == {}


@given(FINDINGS, FINDINGS)
def test_more_findings_never_make_it_better(some, more):
    before, after = verdicts(GPUS, some), verdicts(GPUS, some + more)
    for address in (A, B, C):
        assert ORDER.index(after[address]) >= ORDER.index(before[address])


@given(st.permutations([_finding(s, r) for s in (HOST, A) for r in Remedy]))
def test_the_order_of_findings_does_not_matter(findings):
    assert verdicts(GPUS, findings) == verdicts(GPUS, sorted(findings, key=repr))
