# SPDX-License-Identifier: Apache-2.0
"""Draw the results as PNG or SVG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import generated_files
from nova_gpu_passthrough.simulator.outcome import Summary
from nova_gpu_passthrough.simulator.stranded_causes import StrandedCause

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg")
#: Colours that colour-blind people can distinguish (Okabe and Ito), and shapes to go with them.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_SHAPES = "osD^vPX"


def check(path: Path) -> None:
    """Check that a picture can be written, before hours are spent on the simulation.

    :raises UserError: if it cannot
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"--plot {path}: expected a file that ends in {' or '.join(SUFFIXES)}")
    generated_files.check_place(path)
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UserError(
            "--plot needs matplotlib: install it, or the extra simulate "
            "(pip install nova-gpu-passthrough[simulate])"
        ) from None


def course(path: Path, summaries: Sequence[Summary], times: bool) -> None:
    """Draw the course of allocated GPUs, and the unallocated ones at the end by cause.

    :param times: whether the courses are by seconds instead of % of GPUs requested
    :raises UserError: if the file cannot be written
    """
    figure, (left, right) = _figure()
    for number, summary in enumerate(summaries):
        _line(left, number, summary, times)
    left.set_xlabel("hours" if times else "GPUs requested, % of all")
    left.set_ylabel("GPUs allocated, % of all")
    left.grid(alpha=0.3)
    left.legend(frameon=False)
    _bars(right, summaries)
    _save(figure, path)


def filling(path: Path, servers: Mapping[str, Mapping[str, Sequence[int]]]) -> None:
    """Draw the number of servers until the first refusal, by ranker and fleet.

    :param servers: the numbers for all seeds, by fleet and ranker
    :raises UserError: if the file cannot be written
    """
    figure, (axes, other) = _figure()
    figure.delaxes(other)
    rankers = list(next(iter(servers.values())))
    width = 0.8 / len(servers)
    for number, (fleet, by_ranker) in enumerate(servers.items()):
        positions = [position + number * width for position in range(len(rankers))]
        means = [sum(by_ranker[name]) / len(by_ranker[name]) for name in rankers]
        colour = _COLOURS[number % len(_COLOURS)]
        axes.bar(positions, means, width, label=fleet, color=colour)
        for position, name in zip(positions, rankers, strict=True):
            axes.plot([position] * len(by_ranker[name]), by_ranker[name], "k.", markersize=3)
    axes.set_xticks([position + 0.4 - width / 2 for position in range(len(rankers))], rankers)
    axes.set_ylabel("servers until the first refusal (dots: seeds)")
    axes.legend(frameon=False)
    _save(figure, path)


def _figure() -> tuple[Any, Sequence["Axes"]]:
    from matplotlib.figure import Figure

    # Not pyplot, which would look for a display.
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    return figure, figure.subplots(1, 2)


def _line(axes: "Axes", number: int, summary: Summary, times: bool) -> None:
    colour, shape = _COLOURS[number % len(_COLOURS)], _SHAPES[number % len(_SHAPES)]
    # Courses by time have different marks for different seeds.
    steps = list(zip(*(sorted(one.course.items()) for one in summary.outcomes), strict=False))
    xs = [step[0][0] / 3600 if times else step[0][0] for step in steps]
    values = [[value for _, value in step] for step in steps]
    means = [sum(one) / len(one) for one in values]
    axes.plot(xs, means, color=colour, marker=shape, markersize=4, label=summary.ranker)
    axes.fill_between(xs, list(map(min, values)), list(map(max, values)), color=colour, alpha=0.15)


def _bars(axes: "Axes", summaries: Sequence[Summary]) -> None:
    names = [summary.ranker for summary in summaries]
    bottom = [0.0] * len(names)
    causes = [
        c for c in StrandedCause if any(o.stranded.get(c) for s in summaries for o in s.outcomes)
    ]
    for number, cause in enumerate(causes):
        heights = [_stranded(summary, cause) for summary in summaries]
        colour = _COLOURS[number % len(_COLOURS)]
        axes.bar(names, heights, bottom=bottom, label=f"stranded: {cause}", color=colour)
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    rest = [
        max(0.0, summary.mean(lambda outcome: outcome.unallocated_gpus) - below)
        for summary, below in zip(summaries, bottom, strict=True)
    ]
    axes.bar(names, rest, bottom=bottom, label="usable", color="#cccccc")
    axes.set_ylabel("GPUs unallocated")
    axes.tick_params(axis="x", rotation=30)
    axes.legend(frameon=False)


def _stranded(summary: Summary, cause: StrandedCause) -> float:
    return summary.mean(lambda outcome: outcome.stranded.get(cause, 0))


def _save(figure: Any, path: Path) -> None:
    import matplotlib

    # The same numbers must result in the same file.
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
    with matplotlib.rc_context({"svg.hashsalt": "nova-gpu"}):
        try:
            figure.savefig(path, dpi=150, metadata=metadata)
        except OSError as error:
            raise UserError(
                f"--plot {path}: {error.strerror or error}; name a file that can be written"
            ) from None
