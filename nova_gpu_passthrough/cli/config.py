# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu config ...``: configuration from inventories."""

import argparse
import dataclasses
import difflib
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cli import options as fleet_option
from nova_gpu_passthrough.cli import options as force_option
from nova_gpu_passthrough.cli.listing import StatusLister
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import writing

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.settings import Settings
    from nova_gpu_passthrough.generate.render import File, Generated

_COLUMNS = ("Host", "Path", "Purpose", "State")
_NUMA_POLICIES = ("legacy", "preferred", "required", "socket")

#: Options that contradict a fleet file.
_OF_FLEET = {
    "inventories": "INVENTORY",
    "exclude": "--exclude",
    "include_unfit": "--include-unfit",
    "nic": "--nic",
    "numa_policy": "--numa-policy",
    "one_time_use": "--one-time-use",
    "enabled_filters": "--enabled-filters",
    "policy": "--policy",
    "hugepages": "--hugepages",
}
_NUMBERS_OF_FLEET = {
    "host_cores": "--host-cores",
    "reserved_host_memory_mb": "--reserved-host-memory-mb",
}


class Generate(StatusLister):
    """Generate configuration from the inventories of GPU hosts.

    Kernel command line, modprobe.d, initramfs and udev rules for each host; nova.conf for each
    compute node and the control plane; placement.conf; what flavors and images need. Lists the
    files; writes nothing without --write. What was left out, and why, is told on standard error.

    Give the inventories of all GPU hosts of the cloud at once: the aliases must be the same
    everywhere. Or name a fleet file, which has the inventories, all settings but --release,
    --target and --distribution, and the flavors. The files of HOST are below HOST/, those of the
    control plane below control/.

    Exit status: 0, or 1 with --diff and a difference, or 2 with an error.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of the command."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "inventories",
            metavar="INVENTORY",
            nargs="*",
            type=Path,
            help="file that nova-gpu host audit --write made",
        )
        fleet_option.add_fleet(parser)
        _add_settings(parser)
        _add_output(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Generate, then list, show, compare or write."""
        generated = _generate(parsed_args)
        for note in generated.notes:
            print(note, file=sys.stderr)
        files = _files(generated, parsed_args.only)
        root, alone = parsed_args.write or parsed_args.diff, parsed_args.only is not None
        places = {file: file.below(root, alone) for file in files} if root else {}
        if parsed_args.write:
            texts = {place: file.text for file, place in places.items()}
            written = writing.write_all(texts, parsed_args.force)
            states = {file: written[place] for file, place in places.items()}
        else:
            states = {file: writing.state(place, file.text) for file, place in places.items()}
        different = {f: p for f, p in places.items() if states[f] is not writing.State.SAME}
        if parsed_args.diff and different:
            self.status = 1
        if parsed_args.formatter == "table":
            if parsed_args.diff:
                _print_differences(different)
            elif parsed_args.show:
                for file in files:
                    print(f"==> {file.host}/{file.path} <==\n{file.text}")
            rows = [(f.host, f.path, f.purpose, str(states.get(f, "-"))) for f in files]
            return _COLUMNS, rows
        return (*_COLUMNS, "Content"), [
            (file.host, file.path, file.purpose, str(states.get(file, "-")), file.text)
            for file in files
        ]


def _add_settings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to generate")
    group.add_argument("--release", metavar="N", help="Nova's: 31 to 34, or 2025.1 to 2026.2 (34)")
    group.add_argument(
        "--target",
        choices=("plain", "kolla", "devstack"),
        default="plain",
        help="files beside the packages' own, overrides of Kolla-Ansible, or fragments of "
        "DevStack's local.conf",
    )
    group.add_argument(
        "--distribution",
        choices=("debian", "redhat", "suse"),
        help="family of the hosts' distribution (default: what the inventory tells)",
    )
    group.add_argument(
        "--exclude",
        metavar="[HOST/]ADDRESS",
        action="append",
        default=[],
        help="leave this card to the host (may be repeated)",
    )
    group.add_argument(
        "--include-unfit", action="store_true", help="take in GPUs that the audit found unfit"
    )
    group.add_argument(
        "--nic",
        metavar="[HOST/]ADDRESS",
        action="append",
        default=[],
        help="give servers this NIC, too, by an alias (may be repeated)",
    )
    group.add_argument(
        "--numa-policy",
        choices=_NUMA_POLICIES,
        help="numa_policy of the aliases (legacy: GPUs whose NUMA node is known must be on the "
        "server's)",
    )
    group.add_argument(
        "--one-time-use",
        action="store_true",
        help="keep GPUs reserved after their server until somebody has cleaned them (Nova 32 or "
        "newer)",
    )
    group.add_argument(
        "--enabled-filters",
        metavar="NAME,...",
        help="your filters, to which GpuPassthroughFilter is added (default: Nova's)",
    )
    group.add_argument("--policy", help="[gpu_passthrough] policy (pack)", metavar="NAME")
    group.add_argument(
        "--host-cores",
        metavar="N",
        type=_count,
        help="whole cores of each NUMA node that the host keeps (default: one of 32)",
    )
    group.add_argument(
        "--reserved-host-memory-mb",
        metavar="MIB",
        type=_count,
        help="memory that the host keeps (default: 2 %%, at least 8 GiB)",
    )
    group.add_argument(
        "--hugepages", action="store_true", help="make servers' memory of 1 GiB pages"
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to do with it")
    group.add_argument(
        "--only",
        metavar="HOST",
        help="only the files of this host, or of control; without its directory, so that --write "
        "and --diff may name its root",
    )
    what = group.add_mutually_exclusive_group()
    what.add_argument("--show", action="store_true", help="print the files themselves, too")
    what.add_argument("--write", metavar="DIR", type=Path, help="write the files below DIR")
    what.add_argument("--diff", metavar="ROOT", type=Path, help="compare with the files below ROOT")
    force_option.add_force(group)


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def _generate(options: argparse.Namespace) -> "Generated":
    # Modules are imported where they are used: nova-gpu --help shall not wait for them.
    from nova_gpu_passthrough.generate import render
    from nova_gpu_passthrough.inventory import store

    if options.fleet and not (options.inventories and fleet_option.is_default(options)):
        return _generate_fleet(options)
    settings = _settings(options)
    inventories = [store.load(path) for path in options.inventories]
    words = ["nova-gpu config generate", settings.arguments()]
    words.append(shlex.join(str(path) for path in options.inventories))
    return render.generate(inventories, settings, _command(words))


def _generate_fleet(options: argparse.Namespace) -> "Generated":
    from nova_gpu_passthrough.fleet import desired_state, releases
    from nova_gpu_passthrough.fleet.settings import Distribution, Target
    from nova_gpu_passthrough.generate import render

    given = [option for name, option in _OF_FLEET.items() if getattr(options, name)]
    # 0 is a number.
    given += [o for name, o in _NUMBERS_OF_FLEET.items() if getattr(options, name) is not None]
    if given:
        raise UserError(
            f"{', '.join(given)}: with --fleet, {options.fleet} is the one source of inventories "
            "and settings; say it there"
        )
    resolved = fleet_option.required(options)
    settings = dataclasses.replace(
        resolved.settings,
        release=releases.parse(options.release) if options.release else resolved.settings.release,
        target=Target(options.target),
        distribution=Distribution(options.distribution) if options.distribution else None,
    )
    resolved = dataclasses.replace(resolved, settings=settings)
    words = ["nova-gpu config generate", shlex.join(["--fleet", str(options.fleet)])]
    for option in ("release", "target", "distribution"):
        value = getattr(options, option)
        if value and value != "plain":
            words.append(shlex.join([f"--{option}", value]))
    _, plan = desired_state.make(resolved)
    for refused in plan.refused:
        print(f"flavor {refused.name} is refused: {refused.reason}", file=sys.stderr)
    return render.generate_fleet(resolved, plan, _command(words))


def _command(words: Iterable[str]) -> str:
    """On one line, for the heads of files."""
    return " ".join(filter(None, words)).replace("\n", " ")


def _settings(options: argparse.Namespace) -> "Settings":
    from nova_gpu_passthrough.fleet import releases
    from nova_gpu_passthrough.fleet.settings import ENABLED_FILTERS, Distribution, Settings, Target

    filters = options.enabled_filters
    return Settings(
        releases.parse(options.release) if options.release else releases.NEWEST,
        Target(options.target),
        Distribution(options.distribution) if options.distribution else None,
        tuple(options.exclude),
        tuple(options.nic),
        options.include_unfit,
        options.numa_policy or "legacy",
        options.one_time_use,
        tuple(filter(None, map(str.strip, filters.split(",")))) if filters else ENABLED_FILTERS,
        options.policy or "pack",
        options.host_cores,
        options.reserved_host_memory_mb,
        options.hugepages,
    )


def _files(generated: "Generated", only: str | None) -> list["File"]:
    if only is None:
        return list(generated.files)
    files = [file for file in generated.files if file.host == only]
    if not files:
        hosts = ", ".join(dict.fromkeys(file.host for file in generated.files))
        raise UserError(f"--only {only}: there are no files of it, expected one of {hosts}")
    return files


def _print_differences(places: dict["File", Path]) -> None:
    for file, place in places.items():
        try:
            found = place.read_text(encoding="utf-8", errors="replace")
            name = str(place)
        except FileNotFoundError:
            found, name = "", "/dev/null"
        print(
            "".join(
                difflib.unified_diff(
                    found.splitlines(keepends=True),
                    file.text.splitlines(keepends=True),
                    name,
                    f"{file.host}/{file.path}",
                )
            ),
            end="",
        )
