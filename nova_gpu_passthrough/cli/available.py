# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu available``: which GPU flavors a project could boot now."""

import argparse
import datetime
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.cli.listing import ListCommand, OptionalColumn, or_unlimited
from nova_gpu_passthrough.cli.table import Layout
from nova_gpu_passthrough.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.fit.gpu_flavors import GpuFlavor
    from nova_gpu_passthrough.cloud.quota.flavor_quota import QuotaAnswer
    from nova_gpu_passthrough.cloud.report.published import FittingServers, PublishedFleet

#: The environment variable with the default of ``--from``.
FROM_VARIABLE = "NOVA_GPU_AVAILABILITY"
_COLUMNS = ("Flavor", "GPUs", "Servers", "By Quota", "By Fleet", "Limited By")
_LONG = ("Model", "VCPUs", "RAM MiB", "Flavor ID")


class ListAvailable(CloudCommand, ListCommand):
    """List how many more servers of each GPU flavor your project could boot now.

    By Quota is what your project's quota permits: GPUs, vCPUs, memory, number of servers. By Fleet
    is how many fit on the cloud's hosts, which only the operator can count: --from reads it from
    the page that the operator publishes with nova-gpu report --public (or its JSON document), or
    from the metrics of nova-gpu metrics. Servers is the smaller of both; without --from it is by
    quota only. Limited By says what is left of the quota, or that the fleet has no room. Each
    number assumes that no servers of other flavors are created.

    Needs role reader in your project.

    Exit status: 0, or 1 if no server of these flavors could boot, or 2 with an error.
    """

    role = "reader"
    examples = """
        nova-gpu available
          by your project's quota
        nova-gpu available --from https://cloud.example.org/gpus.html
          also by what is free in the cloud
        nova-gpu available gpu.h100-sxm.8 --from gpus.json && openstack server create ...
          boot only if a server of that flavor fits
    """
    long_columns = _LONG
    layout = Layout(prose=("Limited By",), heading=("Flavor",))

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "flavors",
            metavar="FLAVOR",
            nargs="*",
            help="name or id (default: all GPU flavors that your project may use)",
        )
        parser.add_argument(
            "--from",
            dest="source",
            metavar="URL|FILE",
            default=os.environ.get(FROM_VARIABLE) or None,
            help="the public report of the cloud, its document, or metrics (default: the value of "
            f"{FROM_VARIABLE})",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Read quota and page, and list the flavors."""
        # First, so that invalid files are reported before requests are sent.
        fleet = self.load_fleet(parsed_args)
        published = _published(parsed_args.source)
        connection = self.connection(parsed_args)
        from nova_gpu_passthrough.cloud.quota import caller as callers
        from nova_gpu_passthrough.cloud.quota import flavor_quota
        from nova_gpu_passthrough.cloud.view import flavors as cloud_flavors
        from nova_gpu_passthrough.cloud.view.reader import CloudReader

        reader = CloudReader(connection)
        caller = callers.read(connection)
        visible = cloud_flavors.read_own(reader)
        found, notes = flavor_quota.find_flavors(visible, fleet)
        chosen = _chosen(found, parsed_args.flavors, {one.name for one in visible})
        own = flavor_quota.read(reader, caller, chosen)
        fitting = [published.fitting(one.flavor) if published else None for one in chosen]
        rows = [
            _row(one, flavor_quota.answer(own, one), servers)
            for one, servers in zip(chosen, fitting, strict=True)
        ]
        notes += own.notes
        notes += _notes_on_fleet(published, list(zip(chosen, fitting, strict=True)))
        self.print_notes(dict.fromkeys(notes))
        self.nothing = (
            f"Project {caller.project_name} may use no flavor with GPUs: ask the operator"
        )
        self.status = 0 if any(row[2] != 0 for row in rows) else 1
        return _COLUMNS + _LONG, rows


def _published(source: str | None) -> "PublishedFleet | None":
    if source is None:
        return None
    from nova_gpu_passthrough.cloud.report import published

    return published.load(source)


def _chosen(
    found: "Sequence[GpuFlavor]", names_or_ids: Sequence[str], every_name: Iterable[str]
) -> "Sequence[GpuFlavor]":
    """Return the flavors that were named; all if none was.

    :raises UserError: if the project has no such flavor, or it has no GPUs
    """
    chosen: dict[str, GpuFlavor] = {}
    for given in names_or_ids:
        matches = [one for one in found if given in (one.flavor.name, one.flavor.id)]
        if not matches:
            known = set(every_name)
            if given in known:
                raise UserError(f"flavor {given} requests no GPUs")
            names = [one.flavor.name for one in found]
            raise UserError(f"your project has no flavor {given}{did_you_mean(given, names, 3)}")
        chosen |= {one.flavor.id: one for one in matches}
    return list(chosen.values()) if names_or_ids else found


def _row(
    one: "GpuFlavor", quota: "QuotaAnswer", fitting: "FittingServers | None"
) -> tuple[Any, ...]:
    by_fleet = fitting.servers if fitting else None
    known = [number for number in (quota.servers, by_fleet) if number is not None]
    servers = min(known, default=None)
    limits = []
    if quota.servers is not None and quota.servers == servers:
        limits.append(quota.limited_by)
    if by_fleet is not None and by_fleet == servers:
        limits.append("fleet" if by_fleet else "no host has room")
    return (
        one.flavor.name,
        one.demand.gpus,
        or_unlimited(servers),
        or_unlimited(quota.servers),
        OptionalColumn(None) if by_fleet is None else by_fleet,
        "; ".join(limits),
        ", ".join(one.demand.models),
        one.flavor.vcpus,
        one.flavor.ram_mib,
        one.flavor.id,
    )


def _notes_on_fleet(
    published: "PublishedFleet | None",
    flavors: "Sequence[tuple[GpuFlavor, FittingServers | None]]",
) -> Iterator[str]:
    if not flavors:
        return
    if published is None:
        yield (
            "by quota only: --from URL|FILE with the operator's public report also tells whether a "
            "host has room"
        )
        return
    age = datetime.datetime.now(datetime.UTC) - published.taken_at
    yield f"the fleet is as of {published.taken_at:%Y-%m-%d %H:%M} UTC, {_age(age)} ago"
    if not published.counted:
        yield "the published page does not count servers: it was made without a fleet file"
        return
    missing = [one.flavor.name for one, fitting in flavors if fitting is None]
    if missing:
        yield f"the published page has no {', '.join(missing)}: it may be older than the flavor"
    reserved = [
        f"{fitting.reserved} of {one.flavor.name}"
        for one, fitting in flavors
        if fitting and fitting.reserved
    ]
    if reserved:
        yield (
            "more servers fit on hosts that only some projects may use, perhaps yours: "
            f"{', '.join(reserved)}"
        )
    unsure = [one.flavor.name for one, fitting in flavors if fitting and not fitting.exact]
    if unsure:
        yield f"By Fleet is not exact for {', '.join(unsure)}"


def _age(age: datetime.timedelta) -> str:
    minutes = max(0, int(age.total_seconds() // 60))
    for number, unit in ((minutes // 1440, "day"), (minutes // 60, "hour"), (minutes, "minute")):
        if number:
            return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
    return "less than a minute"
