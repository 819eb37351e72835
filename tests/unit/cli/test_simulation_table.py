# SPDX-License-Identifier: Apache-2.0
"""Columns and tables of ``simulate``."""

from nova_gpu_passthrough.cli.simulation_table import (
    LONG_COLUMNS,
    SeedsByKeyColumn,
    SeedsColumn,
    filling_table,
    summary_table,
)
from nova_gpu_passthrough.simulator.fill_replay import FillOutcome
from nova_gpu_passthrough.simulator.outcome import Outcome, Summary, WaitTimes
from nova_gpu_passthrough.simulator.stranded_causes import StrandedCause


def outcome(seed, **changes):
    return Outcome(
        seed, 80, 90.0 + seed, 8 - seed, 9, 2, 7, {1: seed, 8: 2 - seed},
        {StrandedCause.VCPUS: 3}, 4, 1, 2, {50.0: 50.0, 100.0: 90.0 + seed}, **changes,
    )  # fmt: skip


SUMMARY = Summary("pack", [outcome(0), outcome(1)])


def human_readable(rows):
    return [
        tuple(cell.human_readable() if hasattr(cell, "human_readable") else cell for cell in row)
        for row in rows
    ]


def test_columns():
    assert SeedsColumn([3]).human_readable() == "3"
    assert SeedsColumn([1 / 3]).human_readable() == "0.33"
    assert SeedsColumn([1.0, 2.0, 6.0]).human_readable() == "3.00 ± 2.65"
    assert SeedsColumn([1.0, 2.0, 6.0]).machine_readable() == {
        "mean": 3.0,
        "spread": 2.645751,
        "per_seed": [1.0, 2.0, 6.0],
    }
    assert SeedsByKeyColumn({"1": [0, 0], "8": [1, 2]}).human_readable() == "8: 1.5"


def test_the_table():
    columns, rows = summary_table([SUMMARY], course=False)
    assert columns[:3] == ["Ranker", "Allocated %", "Unallocated GPUs"]
    assert human_readable(rows) == [
        ("pack", "90.50 ± 0.71", "7.50 ± 0.71", "2.00 ± 0.00", "1: 0.5, 8: 1.5", "vcpus: 3")
        + ("1.00 ± 0.00", "2.00 ± 0.00", "4.00 ± 0.00", "9.00 ± 0.00", "7.00 ± 0.00")
        + ("50: 50, 100: 90.5", 80, 2)
    ]
    assert set(LONG_COLUMNS) >= set(columns[4:])


def test_the_table_has_waiting_times_if_tasks_have_times():
    waited = Summary("pack", [outcome(0, waiting=WaitTimes(1.5, 4.0, 9.0, 3, 0))])
    columns, rows = summary_table([waited], course=False)
    names = ["Mean Wait s", "95 % Wait s", "Longest Wait s", "Waited", "Never Started"]
    assert columns[4:9] == names
    assert human_readable(rows)[0][4:9] == ("1.50", "4", "9", "3", "0")


def test_the_table_of_the_course():
    columns, rows = summary_table([SUMMARY], course=True)
    assert columns == ("Ranker", "At 50", "At 100")
    assert human_readable(rows) == [("pack", "50.00 ± 0.00", "90.50 ± 0.71")]


def test_flat_formats_have_means():
    _, ((_, *cells),) = summary_table([SUMMARY], course=False)
    assert [cell.flat() for cell in cells[:4]] == [90.5, 7.5, 2.0, "1=0.5,8=1.5"]


def test_the_table_of_fillings():
    fillings = [
        FillOutcome(0, 4, 50.0, "a", {"a": 1}),
        FillOutcome(1, 6, 75.0, "a", {"a": 3, "b": 5}),
    ]
    outcomes = {"now": {"pack": fillings}, "more": {"pack": [FillOutcome(0, 9, 80.0, None)]}}
    columns, rows = filling_table(outcomes)
    assert columns[:2] == ("Ranker", "Fleet")
    assert human_readable(rows) == [
        ("pack", "now", "5.00 ± 1.41", "62.50 ± 17.68", "a", "a: 2, b: 5"),
        ("pack", "more", "9", "80", "none", ""),
    ]
    many = {str(number): number for number in range(12)}
    _, rows = filling_table({"now": {"pack": [FillOutcome(0, 1, 1.0, "a", many)]}})
    assert human_readable(rows)[0][-1].endswith("7: 7, and 4 more")
