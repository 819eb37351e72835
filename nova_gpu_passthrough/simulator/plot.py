# SPDX-License-Identifier: Apache-2.0
"""Draw the results as PNG or SVG."""

import contextlib
import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1")
_SHAPES = "osD^vPX"
#: Between the names of rankers with the same results.
_EQUAL = " = "
#: Names of rankers that fit next to each other below a panel.
_MOST_LEVEL = 4


class Theme(enum.Enum):
    """Colours of text and lines, and of the background."""

    LIGHT = ("#1f2328", "#ffffff")
    #: Those of the dark mode of GitHub, where the project's pages show such pictures.
    DARK = ("#e6edf3", "#0d1117")

    @property
    def ink(self) -> str:
        """The colour of text and lines."""
        return self.value[0]

    @property
    def paper(self) -> str:
        """The colour of the background."""
        return self.value[1]


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


def course(
    path: Path, summaries: Sequence[Summary], times: bool, theme: Theme = Theme.LIGHT
) -> None:
    """Draw the course of allocated GPUs, and the unallocated ones at the end by cause.

    Rankers with the same results share a line and a bar.

    :param times: whether the courses are by seconds instead of % of GPUs requested
    :raises UserError: if the file cannot be written
    """
    with _style(theme):
        figure, (left, right) = _figure(2)
        # Only what is drawn: equal lines hide each other.
        names = _joined_names(
            {
                summary.ranker: summary.of(
                    lambda one: (one.course, one.stranded, one.unallocated_gpus)
                )
                for summary in summaries
            }
        )
        shown = [summary for summary in summaries if summary.ranker in names]
        for number, summary in enumerate(shown):
            _line(left, number, summary, names[summary.ranker], times)
        left.set_xlabel("hours" if times else "GPUs requested, % of all")
        left.set_ylabel("GPUs allocated, % of all")
        left.grid(alpha=0.15)
        _bars(right, shown, names)
        outcomes = summaries[0].outcomes
        _finish(
            figure,
            f"{outcomes[0].total_gpus:,} GPUs, {_seeds(len(outcomes), 'band: lowest and highest')}",
            {"outside lower left": left, "outside lower right": right},
        )
        _save(figure, path)


def filling(
    path: Path, servers: Mapping[str, Mapping[str, Sequence[int]]], theme: Theme = Theme.LIGHT
) -> None:
    """Draw the number of servers until the first refusal, by ranker and fleet.

    Rankers with the same results share bars.

    :param servers: the numbers for all seeds, by fleet and ranker
    :raises UserError: if the file cannot be written
    """
    with _style(theme):
        figure, (axes,) = _figure(1)
        rankers = next(iter(servers.values()))
        names = _joined_names(
            {ranker: [by_ranker[ranker] for by_ranker in servers.values()] for ranker in rankers}
        )
        width = 0.8 / len(servers)
        for number, (fleet, by_ranker) in enumerate(servers.items()):
            positions = [position + number * width for position in range(len(names))]
            means = [sum(by_ranker[name]) / len(by_ranker[name]) for name in names]
            axes.bar(positions, means, width, label=fleet, color=_colour(number))
            for position, name in zip(positions, names, strict=True):
                dots = [position] * len(by_ranker[name])
                axes.plot(dots, by_ranker[name], ".", color=theme.ink, markersize=3)
        middles = [position + 0.4 - width / 2 for position in range(len(names))]
        _name_ticks(axes, middles, names.values())
        axes.set_ylabel("servers until the first refusal")
        seeds = len(next(iter(rankers.values())))
        _finish(figure, _seeds(seeds, "dots: each seed"), {"outside lower center": axes})
        _save(figure, path)


@contextlib.contextmanager
def _style(theme: Theme) -> Iterator[None]:
    import matplotlib

    inks = ("text.", "axes.edge", "axes.label", "xtick.", "ytick.", "grid.")
    papers = ("figure.face", "axes.face", "savefig.face")
    style: Any = {f"{name}color": theme.ink for name in inks}
    style |= {f"{name}color": theme.paper for name in papers}
    with matplotlib.rc_context(style):
        yield


def _figure(panels: int) -> tuple[Any, Sequence["Axes"]]:
    from matplotlib.figure import Figure

    # Not pyplot, which would look for a display.
    figure = Figure(figsize=(5.5 * panels, 4.8), layout="constrained")
    return figure, figure.subplots(1, panels, squeeze=False)[0]


def _finish(figure: Any, title: str, legends: Mapping[str, "Axes"]) -> None:
    """Add the title, and the legends below the panels, where they hide nothing."""
    figure.suptitle(title, fontsize="medium")
    for place, axes in legends.items():
        handles, labels = axes.get_legend_handles_labels()
        columns = 1 if max(map(len, labels)) > 24 else 2
        figure.legend(handles, labels, loc=place, ncols=columns, frameon=False, fontsize="small")


def _seeds(count: int, spread: str) -> str:
    return f"mean of {count} seeds ({spread})" if count > 1 else "1 seed"


def _joined_names(results: Mapping[str, Any]) -> dict[str, str]:
    """Return the first ranker of each set with equal results, with the names of all of them."""
    names: dict[str, list[str]] = {}
    for ranker, result in results.items():
        first = next((name for name in names if results[name] == result), ranker)
        names.setdefault(first, []).append(ranker)
    return {first: _EQUAL.join(same) for first, same in names.items()}


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _line(axes: "Axes", number: int, summary: Summary, label: str, times: bool) -> None:
    colour, shape = _colour(number), _SHAPES[number % len(_SHAPES)]
    # Courses by time have different marks for different seeds.
    steps = list(zip(*(sorted(one.course.items()) for one in summary.outcomes), strict=False))
    xs = [step[0][0] / 3600 if times else step[0][0] for step in steps]
    values = [[value for _, value in step] for step in steps]
    means = [sum(one) / len(one) for one in values]
    axes.plot(xs, means, color=colour, marker=shape, markersize=4, label=label)
    axes.fill_between(xs, list(map(min, values)), list(map(max, values)), color=colour, alpha=0.15)


def _bars(axes: "Axes", summaries: Sequence[Summary], names: Mapping[str, str]) -> None:
    labels = [names[summary.ranker] for summary in summaries]
    bottom = [0.0] * len(labels)
    causes = [
        c for c in StrandedCause if any(o.stranded.get(c) for s in summaries for o in s.outcomes)
    ]
    for number, cause in enumerate(causes):
        heights = [_stranded(summary, cause) for summary in summaries]
        axes.bar(labels, heights, bottom=bottom, label=f"stranded: {cause}", color=_colour(number))
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    rest = [
        max(0.0, summary.mean(lambda outcome: outcome.unallocated_gpus) - below)
        for summary, below in zip(summaries, bottom, strict=True)
    ]
    axes.bar(labels, rest, bottom=bottom, label="usable", color="#bbbbbb")
    axes.set_ylabel("GPUs unallocated")
    _name_ticks(axes, range(len(labels)), labels)


def _name_ticks(axes: "Axes", positions: Sequence[float], names: Iterable[str]) -> None:
    labels = [name.replace(_EQUAL, f"\n{_EQUAL.lstrip()}") for name in names]
    axes.set_xticks(positions, labels)
    if len(labels) > _MOST_LEVEL:
        axes.tick_params(axis="x", labelrotation=30)
        for label in axes.get_xticklabels():
            label.set(horizontalalignment="right", rotation_mode="anchor")


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
