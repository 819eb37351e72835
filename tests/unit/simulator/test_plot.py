# SPDX-License-Identifier: Apache-2.0
"""Drawing results."""

import xml.etree.ElementTree as ElementTree

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.simulator import plot
from nova_gpu_passthrough.simulator.outcome import Outcome, Summary
from nova_gpu_passthrough.simulator.stranded_causes import StrandedCause

SUMMARIES = [
    Summary(
        name,
        [
            Outcome(
                seed, 80, 90.0 + seed, 8.0 - seed, 9, 1, 8,
                stranded={StrandedCause.VCPUS: 3 + seed}, course={50.0: 50.0, 100.0: 90.0 + seed},
            )
            for seed in range(2)
        ],
    )
    for name in ("pack", "spread")
]  # fmt: skip


def words(path):
    """Return the texts of an SVG, from the comments that matplotlib adds to the outlines."""
    text = path.read_text()
    ElementTree.fromstring(text)
    return text


@pytest.mark.parametrize("times", [False, True])
def test_the_course_and_the_unallocated_gpus(tmp_path, times):
    path = tmp_path / "p.svg"
    plot.course(path, SUMMARIES, times)
    text = words(path)
    for word in ("pack", "spread", "stranded: vcpus", "usable", "hours" if times else "requested"):
        assert word in text


def test_servers_until_the_first_refusal(tmp_path):
    path = tmp_path / "p.svg"
    plot.filling(path, {"now": {"pack": [4, 5]}, "with 1xHGX-H100": {"pack": [8, 9]}})
    text = words(path)
    for word in ("now", "with 1xHGX-H100", "pack", "servers until the first refusal"):
        assert word in text


def test_the_same_results_give_the_same_file(tmp_path):
    for suffix in plot.SUFFIXES:
        first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
        for path in (first, second):
            plot.course(path, SUMMARIES, times=False)
        assert first.read_bytes() == second.read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"p\.pdf: expected a file that ends in \.png or \.svg"):
        plot.check(tmp_path / "p.pdf")
    with pytest.raises(UserError, match="there is no directory"):
        plot.check(tmp_path / "none" / "p.png")
    (tmp_path / "p.png").mkdir()
    plot.check(tmp_path / "p.svg")
    with pytest.raises(UserError, match="Is a directory"):
        plot.course(tmp_path / "p.png", SUMMARIES, times=False)
