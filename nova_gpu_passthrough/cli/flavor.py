# SPDX-License-Identifier: Apache-2.0
"""``flavor generate``: GPU flavors from a fleet file."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.cli.gpu_command import CommandGroup
from nova_gpu_passthrough.cli.listing import FlatColumn, ListCommand, OptionalColumn
from nova_gpu_passthrough.cli.table import Layout

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.desired_state import Flavor
    from nova_gpu_passthrough.fleet.flavors import FlavorPlan, RefusedFlavor

_COLUMNS = ("Name", "GPUs", "vCPUs", "RAM MiB", "Hosts", "State")
_LONG = ("Model", "Disk GiB", "Stranded", "Extra Specs")


class GenerateFlavors(CloudCommand, ListCommand):
    """Generate GPU flavors from a fleet file, without connecting to a cloud.

    Each model and number of GPUs gets a proportional share of the host's vCPUs and memory, in whole
    cores and GiB of each NUMA node, and the extra specs that Nova needs. The column Stranded shows
    what is left of a host that is full of servers of the flavor; the reasons, and the mix of
    flavors that leaves least, go to standard error. Flavors that can never boot on any host are
    refused.

    Exit status: 0, or 1 if a flavor was refused, or 2 with an error.
    """

    examples = """
        nova-gpu flavor generate --fleet fleet.yaml
          the flavors that apply would create
        nova-gpu flavor generate --fleet fleet.yaml --long -c Name -c Stranded
          what each flavor leaves unused on a host that is full of it
    """
    group = CommandGroup.FLEET
    long_columns = _LONG
    layout = Layout(prose=("State", "Stranded"), heading=("Name",))

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--refused", action="store_true", help="list only refused flavors")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Generate the flavors and list them."""
        # Imported here to keep nova-gpu --help fast.
        from nova_gpu_passthrough.fleet import derive_state, offers

        resolved = self.require_fleet(parsed_args)
        _, plan = derive_state.make(resolved)
        notes = offers.note_lines((*resolved.notes, *plan.notes))
        for line in (*notes, *_explained(plan)):
            print(line, file=sys.stderr)
        if plan.refused:
            self.status = 1
        self.nothing = "No flavor is refused" if parsed_args.refused else "The fleet has no flavors"
        rows = [] if parsed_args.refused else [_row(flavor, plan) for flavor in plan.flavors]
        rows += [_refused_row(refused) for refused in plan.refused]
        return _COLUMNS + _LONG, rows


class _ExtraSpecsColumn(FlatColumn):
    """Extra specs: one per line for people, a mapping for programs."""

    def human_readable(self) -> str:
        """Return a line for each extra spec."""
        return "\n".join(f"{key}={value}" for key, value in self._value.items())

    def machine_readable(self) -> dict[str, str]:
        """Return the mapping."""
        return dict(self._value)

    def flat(self) -> str:
        """Return the extra specs, joined by commas."""
        return ",".join(f"{key}={value}" for key, value in self._value.items())


class _StrandedColumn(FlatColumn):
    """Stranded resources: a line for each set of equal hosts for people, objects for programs."""

    def human_readable(self) -> str:
        """Return a line for each set of equal hosts."""
        texts = [str(one.left) for one in self._value]
        if len(texts) < 2:
            return "".join(texts)
        return "\n".join(
            f"{_host_names(one.hosts)}: {text}"
            for one, text in zip(self._value, texts, strict=True)
        )

    def machine_readable(self) -> list[dict[str, Any]]:
        """Return the amounts and the reasons."""
        return [
            {
                "hosts": list(one.hosts),
                "servers": sum(one.servers.values()),
                "gpus": one.left.gpus,
                "vcpus": one.left.vcpus,
                "ram_mib": one.left.ram_mib,
                "reasons": list(one.reasons),
            }
            for one in self._value
        ]

    def flat(self) -> str:
        """Return the text of each set of equal hosts."""
        return self.human_readable().replace("\n", "; ")


def _row(flavor: "Flavor", plan: "FlavorPlan") -> tuple[Any, ...]:
    return (
        flavor.name,
        flavor.gpus,
        flavor.vcpus,
        flavor.ram_mib,
        len(plan.hosts.get(flavor.name, ())),
        _state(flavor),
        flavor.model or "",
        flavor.disk_gib,
        _StrandedColumn(plan.stranded.get(flavor.name, ())),
        _ExtraSpecsColumn(flavor.extra_specs),
    )


def _state(flavor: "Flavor") -> str:
    if flavor.projects is None:
        return "public"
    names = ", ".join(project.name for project in flavor.projects)
    return f"for {names or 'no project'}"


def _refused_row(refused: "RefusedFlavor") -> tuple[Any, ...]:
    return (
        refused.name,
        refused.gpus,
        OptionalColumn(None),
        OptionalColumn(None),
        0,
        f"refused: {refused.reason}",
        refused.model or "",
        OptionalColumn(None),
        _StrandedColumn(()),
        _ExtraSpecsColumn({}),
    )


def _explained(plan: "FlavorPlan") -> Iterable[str]:
    """Explain why resources are stranded, and which mix of flavors strands least."""
    for name, leftovers in plan.stranded.items():
        for one in leftovers:
            if one.reasons:
                reasons = "; ".join(one.reasons)
                yield f"{name} on {_host_names(one.hosts)} leaves {one.left}: {reasons}"
    for one in plan.best:
        mix = ", ".join(f"{count} x {name}" for name, count in one.servers.items())
        yield f"{_host_names(one.hosts)}: {mix} leaves {one.left} of {one.total}"


def _host_names(hosts: Sequence[str]) -> str:
    return hosts[0] if len(hosts) == 1 else f"{hosts[0]} and {len(hosts) - 1} more like it"
