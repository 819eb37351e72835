# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu config generate``: configuration from inventories or a fleet file."""

import argparse
import dataclasses
import difflib
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cli import common_options
from nova_gpu_passthrough.cli.gpu_command import CommandGroup
from nova_gpu_passthrough.cli.listing import ListCommand
from nova_gpu_passthrough.cli.table import Layout
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import generated_files, reading

if TYPE_CHECKING:
    from nova_gpu_passthrough.generate.render import Generated, GeneratedFile

_COLUMNS = ("Host", "Path", "Purpose", "State")
_NUMA_POLICIES = ("legacy", "preferred", "required", "socket")


class GenerateConfig(ListCommand):
    """Generate configuration from the inventories of GPU hosts.

    Generates the kernel command line, modprobe.d, initramfs and udev rules of each host; nova.conf
    for each compute node and the control plane; placement.conf; a note on flavors and images. Lists
    the files; writes nothing without --write. Omissions and their reasons go to standard error.

    Give the inventories of all GPU hosts of the cloud at once: the aliases must be the same
    everywhere. Or give a fleet file, which has the inventories, the flavors, and all settings
    except --release, --target and --distribution. The files of HOST are below HOST/, those of the
    control plane below control/.

    Exit status: 0, or 1 with --diff and a difference, or 2 with an error.
    """

    examples = """
        nova-gpu config generate --fleet fleet.yaml
          list the files of all hosts
        nova-gpu config generate --fleet fleet.yaml --write out
          write them below out/HOST and out/control
        nova-gpu config generate gpu01.yaml --only gpu01 --diff /
          compare the files of this host with those that it has
    """
    group = CommandGroup.FLEET
    long_columns: Sequence[str] = ("Purpose", "State")
    layout = Layout(prose=("Purpose",), heading=("Host", "Path"))

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "inventories",
            metavar="INVENTORY",
            nargs="*",
            type=Path,
            help="an inventory that nova-gpu host audit --write wrote",
        )
        common_options.add_fleet_option(parser)
        _add_settings(parser)
        _add_output(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Generate the files, then list, print, compare or write them."""
        from nova_gpu_passthrough.fleet import offers

        generated = _generate(parsed_args)
        for line in offers.note_lines(generated.notes):
            print(line, file=sys.stderr)
        files = _files(generated, parsed_args.only)
        root, one_host = parsed_args.write or parsed_args.diff, parsed_args.only is not None
        if root:
            self.long_columns = ("Purpose",)
        paths = {file: file.below(root, one_host) for file in files} if root else {}
        if parsed_args.write:
            texts = {path: file.text for file, path in paths.items()}
            written = common_options.write_files(self, texts, parsed_args.force)
            states = {file: written[path] for file, path in paths.items()}
        else:
            states = {
                file: generated_files.file_state(path, file.text) for file, path in paths.items()
            }
        different = {
            file: path
            for file, path in paths.items()
            if states[file] is not generated_files.FileState.SAME
        }
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
    from nova_gpu_passthrough.fleet import releases

    group = parser.add_argument_group("settings")
    group.add_argument(
        "--release",
        metavar="N",
        help=f"release of Nova: {releases.SUPPORTED} (default: the newest)",
    )
    group.add_argument(
        "--target",
        choices=("plain", "kolla", "devstack"),
        default="plain",
        help="plain files beside those of the distribution's packages, overrides for "
        "Kolla-Ansible, or fragments of DevStack's local.conf (default: plain)",
    )
    group.add_argument(
        "--distribution",
        choices=("debian", "redhat", "suse"),
        help="family of the hosts' distribution (default: from the inventory)",
    )
    group.add_argument(
        "--exclude",
        metavar="[HOST/]ADDRESS",
        action="append",
        default=[],
        help="do not pass this card through; the host keeps it (may be repeated)",
    )
    group.add_argument(
        "--include-unfit", action="store_true", help="include GPUs that the audit found unfit"
    )
    group.add_argument(
        "--nic",
        dest="nics",
        metavar="[HOST/]ADDRESS",
        action="append",
        default=[],
        help="also pass this NIC through, by an alias (may be repeated)",
    )
    group.add_argument(
        "--numa-policy",
        choices=_NUMA_POLICIES,
        help="numa_policy of the aliases (default: legacy, which requires that a GPU whose NUMA "
        "node is known is on a NUMA node of the server)",
    )
    group.add_argument(
        "--one-time-use",
        action="store_true",
        help="keep a GPU reserved after its server is deleted, until it was cleaned "
        f"({releases.first_with('one_time_use')} or newer)",
    )
    group.add_argument(
        "--enabled-filters",
        metavar="NAME,...",
        type=_names,
        default=[],
        help="the enabled filters, to which GpuPassthroughFilter is added (default: Nova's "
        "default)",
    )
    group.add_argument("--policy", help="[gpu_passthrough] policy (default: pack)", metavar="NAME")
    group.add_argument(
        "--host-cores",
        metavar="N",
        type=_count,
        help="whole cores of each NUMA node to reserve for the host (default: one of 32)",
    )
    group.add_argument(
        "--reserved-host-memory-mb",
        metavar="MIB",
        type=_count,
        help="memory to reserve for the host (default: 2 %%, at least 8 GiB)",
    )
    group.add_argument(
        "--hugepages", action="store_true", help="back servers' memory with pages of 1 GiB"
    )
    group.add_argument(
        "--headless",
        action="store_true",
        help="give servers of these hosts no emulated display, pointer and USB controller, and so "
        "no VNC and SPICE console",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--only",
        metavar="HOST",
        help="only the files of this host, or of control, without its directory: "
        "--write and --diff may then name the host's root",
    )
    actions = group.add_mutually_exclusive_group()
    actions.add_argument("--show", action="store_true", help="also print the content of the files")
    actions.add_argument("--write", metavar="DIR", type=Path, help="write the files below DIR")
    actions.add_argument(
        "--diff", metavar="ROOT", type=Path, help="compare with the files below ROOT"
    )
    common_options.add_force_option(group)


def _names(text: str) -> list[str]:
    return [name for name in map(str.strip, text.split(",")) if name]


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def _generate(options: argparse.Namespace) -> "Generated":
    # Imported here to keep nova-gpu --help fast.
    from nova_gpu_passthrough.fleet import settings
    from nova_gpu_passthrough.generate import render
    from nova_gpu_passthrough.inventory import store

    if options.fleet and not (options.inventories and common_options.is_default_fleet(options)):
        return _generate_fleet(options)
    values = settings.make(vars(options))
    inventories = [store.load(path) for path in options.inventories]
    arguments = ["nova-gpu config generate", values.arguments()]
    arguments.append(shlex.join(str(path) for path in options.inventories))
    return render.generate(inventories, values, _command(arguments))


def _generate_fleet(options: argparse.Namespace) -> "Generated":
    from nova_gpu_passthrough.fleet import derive_state, settings
    from nova_gpu_passthrough.generate import render

    given = ["INVENTORY"] if options.inventories else []
    given += [
        settings.option_name(name)
        for name in settings.given_values(vars(options))
        if name not in settings.OVERRIDABLE
    ]
    if given:
        raise UserError(
            f"{', '.join(given)}: with --fleet, inventories and settings come only from "
            f"{options.fleet}; set them there"
        )
    resolved = common_options.require_fleet(options)
    overrides = {name: getattr(options, name) for name in settings.OVERRIDABLE}
    resolved = dataclasses.replace(
        resolved, settings=settings.override(resolved.settings, overrides)
    )
    arguments = ["nova-gpu config generate", shlex.join(["--fleet", str(options.fleet)])]
    for name, value in overrides.items():
        if value and value != "plain":
            arguments.append(shlex.join([settings.option_name(name), value]))
    _, plan = derive_state.make(resolved)
    for refused in plan.refused:
        print(f"flavor {refused.name} is refused: {refused.reason}", file=sys.stderr)
    return render.generate_fleet(resolved, plan, _command(arguments))


def _command(arguments: Iterable[str]) -> str:
    """Join a command into one line, for the seals of the generated files."""
    return " ".join(filter(None, arguments)).replace("\n", " ")


def _files(generated: "Generated", only: str | None) -> list["GeneratedFile"]:
    if only is None:
        return list(generated.files)
    files = [file for file in generated.files if file.host == only]
    if not files:
        hosts = ", ".join(dict.fromkeys(file.host for file in generated.files))
        raise UserError(f"--only {only}: no files are generated for it, expected one of {hosts}")
    return files


def _print_differences(paths: dict["GeneratedFile", Path]) -> None:
    for file, path in paths.items():
        content, name = "", "/dev/null"
        if path.exists():
            content, name = reading.read_bytes(path).decode(errors="replace"), str(path)
        print(
            "".join(
                difflib.unified_diff(
                    content.splitlines(keepends=True),
                    file.text.splitlines(keepends=True),
                    name,
                    f"{file.host}/{file.path}",
                )
            ),
            end="",
        )
