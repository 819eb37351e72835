# SPDX-License-Identifier: Apache-2.0
"""``flavor ...``: flavors for GPUs."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cliff.columns import FormattableColumn

from nova_gpu_passthrough.cli.cloud import CloudCommand
from nova_gpu_passthrough.cli.listing import StatusLister

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.desired import Flavor
    from nova_gpu_passthrough.fleet.flavors import FlavorPlan, Refused

_COLUMNS = (
    "Name",
    "GPUs",
    "Model",
    "vCPUs",
    "RAM MiB",
    "Disk GiB",
    "Hosts",
    "Stranded",
    "State",
    "Extra Specs",
)


class Generate(CloudCommand, StatusLister):
    """Generate flavors for GPUs from a fleet file; no cloud is asked, and no role is needed.

    For each model and number of GPUs: as many vCPUs and as much memory as the server's GPUs have
    of their host, in whole cores and GiB of each NUMA node, and the extra specs that Nova needs.
    The column Stranded tells what is left of a host that is full of servers of the flavor; why,
    and what mix of flavors leaves least, is told on standard error. Flavors that no host could
    ever boot are refused.

    Exit status: 0, or 1 if a flavor was refused, or 2 with an error.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of the command."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--refused", action="store_true", help="list only flavors that were refused"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Generate and list."""
        # Modules are imported where they are used: nova-gpu --help shall not wait for them.
        from nova_gpu_passthrough.fleet import desired_state

        resolved = self.required_fleet(parsed_args)
        _, plan = desired_state.make(resolved)
        for line in (*map(str, resolved.notes), *map(str, plan.notes), *_explained(plan)):
            print(line, file=sys.stderr)
        if plan.refused:
            self.status = 1
        rows = [] if parsed_args.refused else [_row(flavor, plan) for flavor in plan.flavors]
        rows += [_refused_row(refused) for refused in plan.refused]
        return _COLUMNS, rows


class _Pairs(FormattableColumn[Any]):
    """Extra specs: one a line for people."""

    def human_readable(self) -> str:
        """Lines."""
        return "\n".join(f"{key}={value}" for key, value in self._value.items())

    def machine_readable(self) -> dict[str, str]:
        """A mapping."""
        return dict(self._value)


class _Left(FormattableColumn[Any]):
    """What is left of hosts: a line for each kind of hosts for people."""

    def human_readable(self) -> str:
        """Lines."""
        texts = [str(one.left) for one in self._value]
        if len(texts) < 2:
            return "".join(texts)
        return "\n".join(
            f"{_named(one.hosts)}: {text}" for one, text in zip(self._value, texts, strict=True)
        )

    def machine_readable(self) -> list[dict[str, Any]]:
        """Numbers and reasons."""
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


def _row(flavor: "Flavor", plan: "FlavorPlan") -> tuple[Any, ...]:
    return (
        flavor.name,
        flavor.gpus,
        flavor.model or "",
        flavor.vcpus,
        flavor.ram_mib,
        flavor.disk_gib,
        len(plan.hosts.get(flavor.name, ())),
        _Left(plan.stranded.get(flavor.name, ())),
        _state(flavor),
        _Pairs(flavor.extra_specs),
    )


def _state(flavor: "Flavor") -> str:
    if flavor.projects is None:
        return "public"
    names = ", ".join(project.name for project in flavor.projects)
    return f"for {names or 'no project'}"


def _refused_row(refused: "Refused") -> tuple[Any, ...]:
    return (
        refused.name,
        refused.gpus,
        refused.model or "",
        None,
        None,
        None,
        0,
        _Left(()),
        f"refused: {refused.reason}",
        _Pairs({}),
    )


def _explained(plan: "FlavorPlan") -> Iterable[str]:
    """Why something is left, and what mix leaves least."""
    for name, found in plan.stranded.items():
        for one in found:
            if one.reasons:
                yield f"{name} on {_named(one.hosts)} leaves {one.left}: {'; '.join(one.reasons)}"
    for one in plan.best:
        mix = ", ".join(f"{count} x {name}" for name, count in one.servers.items())
        yield f"{_named(one.hosts)}: {mix} leaves {one.left} of {one.whole}"


def _named(hosts: Sequence[str]) -> str:
    return hosts[0] if len(hosts) == 1 else f"{hosts[0]} and {len(hosts) - 1} more like it"
