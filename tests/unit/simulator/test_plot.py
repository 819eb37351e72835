# SPDX-License-Identifier: Apache-2.0
"""Drawing results."""

import dataclasses
import struct
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
    for word in ("pack = spread", "stranded: vcpus", "usable", "hours" if times else "requested"):
        assert word in text


def sizes(path):
    """Return width and height of a PNG."""
    return struct.unpack(">II", path.read_bytes()[16:24])


def test_a_picture_has_the_size_of_its_panels(tmp_path):
    plot.course(tmp_path / "two.png", SUMMARIES, times=False)
    plot.filling(tmp_path / "one.png", {"now": {"pack": [4, 5]}})
    (two, height), one = sizes(tmp_path / "two.png"), sizes(tmp_path / "one.png")
    assert one == (two / 2, height)


def drawn(monkeypatch):
    """Return the figures that are saved from now on."""
    figures = []
    monkeypatch.setattr(plot, "_save", lambda figure, path: figures.append(figure))
    return figures


def legend(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_seeds_and_gpus_are_in_the_title(monkeypatch):
    figures = drawn(monkeypatch)
    plot.course("p.svg", SUMMARIES, times=False)
    plot.filling("p.svg", {"now": {"pack": [4]}})
    assert [figure.get_suptitle() for figure in figures] == [
        "80 GPUs, mean of 2 seeds (band: lowest and highest)",
        "1 seed",
    ]


def test_equal_results_are_drawn_once_and_named(monkeypatch):
    figures = drawn(monkeypatch)
    other = dataclasses.replace(SUMMARIES[0].outcomes[0], unallocated_gpus=7.0)
    third = Summary("random", [other, SUMMARIES[0].outcomes[1]])
    # What is not drawn may differ.
    refused = [dataclasses.replace(one, refused=2) for one in SUMMARIES[1].outcomes]
    second = dataclasses.replace(SUMMARIES[1], outcomes=refused)
    plot.course("p.svg", [SUMMARIES[0], second, third], times=False)
    (figure,) = figures
    lines, bars = figure.axes
    assert len(lines.lines) == 2
    assert legend(figure)[:2] == ["pack = spread", "random"]
    assert [text.get_text() for text in bars.get_xticklabels()] == ["pack\n= spread", "random"]


def test_equal_numbers_of_servers_are_drawn_once_and_named(monkeypatch):
    figures = drawn(monkeypatch)
    servers = {"pack": [4, 5], "spread": [4, 5], "random": [5, 4]}
    plot.filling("p.svg", {"now": servers, "more": servers | {"random": [8, 8]}})
    plot.filling("p.svg", {"now": servers, "more": servers | {"pack": [8, 8]}})
    ticks = [[text.get_text() for text in one.axes[0].get_xticklabels()] for one in figures]
    assert ticks == [["pack\n= spread", "random"], ["pack", "spread", "random"]]


def test_legends_are_outside_of_the_panels(monkeypatch):
    figures = drawn(monkeypatch)
    plot.course("p.svg", SUMMARIES, times=False)
    (figure,) = figures
    figure.draw_without_rendering()
    assert len(figure.legends) == 2
    for one in figure.legends:
        for axes in figure.axes:
            assert not one.get_window_extent().overlaps(axes.get_tightbbox())


def test_many_rankers_do_not_overlap(monkeypatch):
    figures = drawn(monkeypatch)
    names = [f"a-ranker-{number}" for number in range(7)]
    plot.filling("p.svg", {"now": {name: [number] for number, name in enumerate(names)}})
    (figure,) = figures
    assert {text.get_rotation() for text in figure.axes[0].get_xticklabels()} == {30}


def test_the_dark_theme(tmp_path):
    plot.course(tmp_path / "light.svg", SUMMARIES, times=False)
    plot.course(tmp_path / "dark.svg", SUMMARIES, times=False, theme=plot.Theme.DARK)
    light, dark = ((tmp_path / f"{name}.svg").read_text() for name in ("light", "dark"))
    assert plot.Theme.DARK.paper in dark
    assert plot.Theme.DARK.paper not in light
    assert plot.Theme.LIGHT.ink not in dark


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
