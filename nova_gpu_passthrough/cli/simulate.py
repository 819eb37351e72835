# SPDX-License-Identifier: Apache-2.0
"""``simulate``: compare rankers in a simulation, without a cloud."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cli import common_options, terminal
from nova_gpu_passthrough.cli.gpu_command import CommandGroup, GpuCommand
from nova_gpu_passthrough.cli.listing import ListCommand
from nova_gpu_passthrough.cli.simulation_table import LONG_COLUMNS, filling_table, summary_table
from nova_gpu_passthrough.cli.table import Layout
from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.scenario import Scenario, ScenarioSources

_Table = tuple[Sequence[str], Iterable[tuple[Any, ...]]]
_RANKERS = ("pack", "spread", "fragmentation")


class RunSimulation(ListCommand):
    """Simulate the placement of servers on a fleet's hosts, and compare rankers.

    Hosts come from --nodes (a CSV in openb's format), --fleet or --inventory, and start empty.
    Tasks come from --tasks (a CSV in openb's format, or a trace in YAML), --mix or --flavor; the
    default are the fleet's flavors. Tasks are drawn with replacement until they have requested
    --requested % of the GPUs, once for each seed; with --times they start and end at the times of
    the trace, and wait while they do not fit.

    With --add or --flavor the output is how many servers fit on the empty hosts before the first is
    refused, which flavor is refused, and the difference that added hosts make. For a cloud with
    its present servers, nova-gpu capacity --add shows what more hosts would give.

    Rankers are the policies of nova-scheduler (entry points nova_gpu_passthrough.policies: pack,
    spread, fragmentation) and the entry points nova_gpu_passthrough.rankers: best-fit, fgd, random,
    and, where nova is installed, nova and nova+fragmentation. Needs the extra simulate (numpy,
    matplotlib).
    """

    examples = """
        nova-gpu simulate --fleet fleet.yaml --seeds 20
          compare the policies on the fleet's hosts, with its flavors
        nova-gpu simulate --fleet fleet.yaml --mix mix.yaml --plot policies.svg
          with the mix of a cloud's servers, and a plot
        nova-gpu simulate --fleet fleet.yaml --add 2xHGX-H100
          how many more servers two more hosts would take, if all were empty
    """
    group = CommandGroup.FLEET
    long_columns = LONG_COLUMNS
    layout = Layout(heading=("Ranker", "Fleet"))
    interrupted = "no results were listed or drawn"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        _add_sources(parser)
        _add_run(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> _Table:
        """Read hosts and tasks, simulate, list and draw the results."""
        # Imported here to keep nova-gpu --help fast.
        try:
            import numpy  # noqa: F401
        except ImportError:
            raise UserError(
                "nova-gpu simulate needs numpy: install it, or the extra simulate "
                "(pip install nova-gpu-passthrough[simulate])"
            ) from None
        from nova_gpu_passthrough.simulator import plot, registry, scenario

        given = parsed_args.ranker or [_RANKERS]
        names = list(dict.fromkeys(name for rankers in given for name in rankers))
        for name in names:
            registry.load(name)
        if parsed_args.plot:
            plot.check(parsed_args.plot)
        loaded = scenario.load(_sources(parsed_args))
        for note in loaded.notes:
            print(note, file=sys.stderr)
        if parsed_args.add or parsed_args.flavor:
            return _what_if(self, parsed_args, loaded, names)
        return _replay(self, parsed_args, loaded, names)


def _replay(
    command: GpuCommand, options: argparse.Namespace, loaded: "Scenario", names: Sequence[str]
) -> _Table:
    from nova_gpu_passthrough.simulator import batch, plot
    from nova_gpu_passthrough.simulator.outcome import Summary

    with terminal.progress_bar() as report_progress:
        outcomes = batch.run_all(
            batch.replay,
            loaded.simulation,
            names,
            options.seeds or 1,
            options.jobs,
            report_progress,
        )
    summaries = [Summary(name, by_seed) for name, by_seed in outcomes.items()]
    if options.plot:
        plot.course(options.plot, summaries, options.times)
        command.inform(f"wrote {options.plot}")
    return summary_table(summaries, options.course)


def _what_if(
    command: GpuCommand, options: argparse.Namespace, loaded: "Scenario", names: Sequence[str]
) -> _Table:
    from nova_gpu_passthrough.simulator import batch, fill_replay, plot

    seeds = options.seeds or fill_replay.SEEDS
    print(
        f"all hosts are empty at the beginning, and servers are drawn at random, with {seeds} "
        f"{'seed' if seeds == 1 else 'seeds'}: numbers are mean ± standard deviation; "
        "nova-gpu capacity --add counts on the servers that the cloud has",
        file=sys.stderr,
    )
    fleets = {"now": loaded.simulation}
    if loaded.with_added_hosts:
        fleets[f"with {', '.join(options.add)}"] = loaded.with_added_hosts
    outcomes = {}
    with terminal.progress_bar() as report_progress:
        for fleet, scenario in fleets.items():
            outcomes[fleet] = batch.run_all(
                batch.fill,
                scenario,
                names,
                seeds,
                options.jobs,
                _with_fleet(report_progress, fleet),
            )
    if options.plot:
        plot.filling(
            options.plot,
            {
                fleet: {
                    name: [filling.servers for filling in fillings]
                    for name, fillings in by_ranker.items()
                }
                for fleet, by_ranker in outcomes.items()
            },
        )
        command.inform(f"wrote {options.plot}")
    return filling_table(outcomes)


def _with_fleet(
    report_progress: terminal.ReportProgress | None, fleet: str
) -> terminal.ReportProgress | None:
    """Let a ranker's progress bar also name the fleet."""
    if report_progress is None:
        return None
    return lambda name, done, total: report_progress(f"{name}, {fleet}", done, total)


def _sources(options: argparse.Namespace) -> "ScenarioSources":
    from nova_gpu_passthrough.simulator.assumed_topology import GuestNuma, HostTopology
    from nova_gpu_passthrough.simulator.openb import Shares
    from nova_gpu_passthrough.simulator.scenario import ScenarioSources

    if options.times and (options.add or options.flavor):
        raise UserError(
            "--times cannot be combined with --add or --flavor, which draw tasks without times"
        )
    has_hosts = options.nodes or options.inventory
    if has_hosts and options.fleet and not common_options.is_default_fleet(options):
        raise UserError("hosts come from --fleet, or from --nodes or --inventory: give one source")
    return ScenarioSources(
        options.nodes,
        options.inventory,
        None if has_hosts else common_options.load_fleet(options),
        options.tasks,
        options.mix,
        options.flavor,
        options.add,
        options.hosts,
        Shares(options.shares),
        GuestNuma(options.numa),
        HostTopology(options.topology),
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
    common_options.add_fleet_option(parser)
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
        help="hosts to add: 10xHGX-H100[,vcpus=N][,ram-gib=N], or COUNTxHOST for hosts like an "
        "existing one (may be repeated)",
    )
    hosts.add_argument(
        "--topology",
        choices=("rule", "none"),
        default="rule",
        help="topology of hosts in a CSV: two NUMA nodes and links by a rule, which is printed, "
        "or no NUMA nodes and links (default: rule)",
    )
    hosts.add_argument(
        "--hosts", metavar="N", type=_whole, help="use only N hosts, at even distances"
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
        help="a mix of requests as nova-gpu mix writes it; with --tasks, the mix that rankers use "
        "(default: that of the tasks)",
    )
    tasks.add_argument(
        "--flavor",
        metavar="NAME|gpus=N,...",
        action="append",
        default=[],
        help="a flavor of the fleet, NAME[,count=N], or gpus=N,vcpus=N,ram-gib=N"
        "[,pinned-cpus=N][,model=MODEL][,numa=CELLS][,linked][,count=N] (may be repeated; count: "
        "weight relative to the other flavors)",
    )
    tasks.add_argument(
        "--shares",
        choices=("drop", "round-up"),
        default="drop",
        help="drop CSV tasks that request a share of a GPU, or round them up to one GPU "
        "(default: drop)",
    )
    tasks.add_argument(
        "--numa",
        choices=("none", "fit"),
        default="none",
        help="NUMA topology of CSV tasks: none, or the smallest number of cells that fits, with "
        "GPUs only from their NUMA nodes (default: none)",
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
    runs.add_argument(
        "--seeds",
        metavar="N",
        type=_whole,
        help="number of runs (default: 1; with --add or --flavor 30)",
    )
    runs.add_argument(
        "--requested",
        metavar="PERCENT",
        type=_percent,
        default=100.0,
        help="how many %% of the GPUs the tasks request before the results are read (default: 100)",
    )
    runs.add_argument(
        "--times",
        action="store_true",
        help="start and end tasks at the times of the trace; tasks that never start count as "
        "refused",
    )
    runs.add_argument(
        "--jobs", metavar="N", type=_whole, default=1, help="parallel processes (default: 1)"
    )
    runs.add_argument(
        "--course",
        action="store_true",
        help="list the %% of GPUs allocated when 50 to 130 %% are requested",
    )
    runs.add_argument("--plot", metavar="FILE", type=Path, help="draw the results (.png or .svg)")


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r}, expected names of rankers separated by commas")
    return names


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number from 1 to 1000000")
    return int(text)


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number above 0, up to 1000")
    return value
