# SPDX-License-Identifier: Apache-2.0
"""``simulate``: what rankers leave of a fleet's GPUs, replayed without any cloud."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliff.lister import Lister

from nova_gpu_passthrough.cli import options as fleet_option
from nova_gpu_passthrough.cli import progress
from nova_gpu_passthrough.cli.simulated import filling_table, summary_table
from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.scenario import Made, Sources

_Table = tuple[Sequence[str], Iterable[tuple[Any, ...]]]
_RANKERS = ("pack", "spread", "fragmentation")


class Simulate(Lister):
    """Place servers on a fleet's hosts in a simulation, and compare what rankers leave.

    Hosts come from --nodes (a CSV like openb's), --fleet or --inventory, and are empty. Tasks come
    from --tasks (a CSV like openb's, or our own YAML), --mix or --flavor, or are the fleet's own
    flavors. They are drawn with replacement until --requested % of the GPUs are asked for, once for
    each seed; with --times they come and go as the trace says, and wait where there is no room.

    With --add or --flavor it is told how many servers fit until the first is refused, whose that
    is, and how far added hosts move it.

    Rankers are found by the entry points nova_gpu_passthrough.rankers: pack, spread,
    fragmentation, best-fit, fgd, random, and nova with its kin where nova is installed. Needs the
    extra simulate (numpy, matplotlib).
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of the command."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        _add_sources(parser)
        _add_run(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> _Table:
        """Read, simulate, list and draw."""
        try:
            return self._simulate(parsed_args)
        except KeyboardInterrupt:
            raise UserError("interrupted: nothing was listed, and no picture drawn") from None

    def _simulate(self, options: argparse.Namespace) -> _Table:
        # Modules are imported where they are used: nova-gpu --help shall not wait for them.
        try:
            import numpy  # noqa: F401
        except ImportError:
            raise UserError(
                "nova-gpu simulate needs numpy: install it, or the extra simulate "
                "(pip install nova-gpu-passthrough[simulate])"
            ) from None
        from nova_gpu_passthrough.simulator import plot, ranker, scenario

        words = options.ranker or [_RANKERS]
        names = list(dict.fromkeys(name for word in words for name in word))
        for name in names:
            ranker.load(name)
        if options.plot:
            plot.check(options.plot)
        made = scenario.make(_sources(options))
        for note in made.notes:
            print(note, file=sys.stderr)
        if options.add or options.flavor:
            return _what_if(options, made, names)
        return _replay(options, made, names)


def _replay(options: argparse.Namespace, made: "Made", names: Sequence[str]) -> _Table:
    from nova_gpu_passthrough.simulator import plot, runs
    from nova_gpu_passthrough.simulator.outcome import Summary

    with progress.shown() as tell:
        outcomes = runs.many(runs.replay, made.scenario, names, options.seeds, options.jobs, tell)
    summaries = [Summary(name, found) for name, found in outcomes.items()]
    if options.plot:
        plot.course(options.plot, summaries, options.times)
    return summary_table(summaries, options.formatter, options.course)


def _what_if(options: argparse.Namespace, made: "Made", names: Sequence[str]) -> _Table:
    from nova_gpu_passthrough.simulator import plot, runs

    fleets = {"now": made.scenario}
    if made.added:
        fleets[f"with {', '.join(options.add)}"] = made.added
    found = {}
    with progress.shown() as tell:
        for fleet, scenario in fleets.items():
            found[fleet] = runs.many(
                runs.fill, scenario, names, options.seeds, options.jobs, _named(tell, fleet)
            )
    if options.plot:
        plot.filling(
            options.plot,
            {
                fleet: {name: [one.servers for one in fillings] for name, fillings in by.items()}
                for fleet, by in found.items()
            },
        )
    return filling_table(found, options.formatter)


def _named(
    tell: Callable[[str, int, int], None] | None, fleet: str
) -> Callable[[str, int, int], None] | None:
    if tell is None:
        return None
    return lambda name, done, total: tell(f"{name}, {fleet}", done, total)


def _sources(options: argparse.Namespace) -> "Sources":
    from nova_gpu_passthrough.simulator.layout import Numa, Topology
    from nova_gpu_passthrough.simulator.openb import Shares
    from nova_gpu_passthrough.simulator.scenario import Sources

    if options.times and (options.add or options.flavor):
        raise UserError("--times does not go with --add and --flavor: they draw tasks")
    named = options.nodes or options.inventory
    if named and options.fleet and not fleet_option.is_default(options):
        raise UserError("--fleet names hosts, and so do --nodes and --inventory: give one")
    return Sources(
        options.nodes,
        options.inventory,
        None if named else fleet_option.load(options),
        options.tasks,
        options.mix,
        options.flavor,
        options.add,
        options.hosts,
        Shares(options.shares),
        Numa(options.numa),
        Topology(options.topology),
        options.requested,
        options.times,
    )


def _add_sources(parser: argparse.ArgumentParser) -> None:
    hosts = parser.add_argument_group("hosts")
    hosts.add_argument(
        "--nodes",
        metavar="FILE",
        type=Path,
        help="CSV with the columns sn, cpu_milli, memory_mib, gpu, model",
    )
    fleet_option.add_fleet(parser)
    hosts.add_argument(
        "--inventory",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="an inventory of nova-gpu host audit (may be repeated)",
    )
    hosts.add_argument(
        "--add",
        metavar="COUNTxBOARD",
        action="append",
        default=[],
        help="hosts to add: 10xHGX-H100[,vcpus=N][,ram-gib=N], or COUNTxHOST for hosts like one "
        "that there is (may be repeated)",
    )
    hosts.add_argument(
        "--topology",
        choices=("rule", "none"),
        default="rule",
        help="of hosts in a CSV: two NUMA nodes and links by a rule that is printed, or none of "
        "both (default: rule)",
    )
    hosts.add_argument(
        "--hosts", metavar="N", type=_whole, help="take N of the hosts, at even distances"
    )
    tasks = parser.add_argument_group("tasks")
    tasks.add_argument(
        "--tasks",
        metavar="FILE",
        type=Path,
        help="CSV with the columns name, cpu_milli, memory_mib, num_gpu, gpu_milli, or a trace in "
        "YAML",
    )
    tasks.add_argument(
        "--mix",
        metavar="FILE",
        type=Path,
        help="a mix of requests as nova-gpu mix writes it; beside --tasks it is what rankers go "
        "by (default: the tasks' own)",
    )
    tasks.add_argument(
        "--flavor",
        metavar="NAME|gpus=N,...",
        action="append",
        default=[],
        help="a flavor of the fleet, NAME[,count=N], or gpus=N,vcpus=N,ram-gib=N"
        "[,pinned-cpus=N][,model=MODEL][,numa=CELLS][,linked][,count=N] (may be repeated; count: "
        "how often beside the others)",
    )
    tasks.add_argument(
        "--shares",
        choices=("drop", "round-up"),
        default="drop",
        help="what becomes of CSV tasks with a share of a GPU: left out, or one whole GPU "
        "(default: drop)",
    )
    tasks.add_argument(
        "--numa",
        choices=("none", "fit"),
        default="none",
        help="NUMA topology of CSV tasks: none, or as few cells as they fit in, with GPUs of these "
        "only (default: none)",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    runs = parser.add_argument_group("runs")
    runs.add_argument(
        "--ranker",
        metavar="NAME[,NAME...]",
        action="append",
        type=_names,
        help=f"rankers to compare (default: {','.join(_RANKERS)})",
    )
    runs.add_argument("--seeds", metavar="N", type=_whole, default=1, help="runs (default: 1)")
    runs.add_argument(
        "--requested",
        metavar="PERCENT",
        type=_percent,
        default=100.0,
        help="how many of the GPUs are asked for when results are taken (default: 100)",
    )
    runs.add_argument(
        "--times",
        action="store_true",
        help="let tasks come and go at the times of the trace; refused are those that never start",
    )
    runs.add_argument(
        "--jobs", metavar="N", type=_whole, default=1, help="processes side by side (default: 1)"
    )
    runs.add_argument(
        "--course",
        action="store_true",
        help="list %% of GPUs allocated at 50 to 130 %% requested",
    )
    runs.add_argument("--plot", metavar="FILE", type=Path, help="draw the results (.png or .svg)")


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r}, expected names of rankers with commas")
    return names


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number from 1 on")
    return int(text)


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number up to 1000")
    return value
