# SPDX-License-Identifier: Apache-2.0
"""``lint`` and ``drift``: what contradicts the fleet file, or the state that was applied last."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cli import progress
from nova_gpu_passthrough.cli.cloud import CloudCommand
from nova_gpu_passthrough.cli.columns import Coloured
from nova_gpu_passthrough.cli.listing import StatusLister
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.inventory.findings import Finding, Severity

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.apply.record import Record
    from nova_gpu_passthrough.cloud.lint.configuration.services import Service
    from nova_gpu_passthrough.cloud.lint.facts import Cloud, Facts
    from nova_gpu_passthrough.fleet.desired import Desired
    from nova_gpu_passthrough.fleet.resolve import Resolved

_COLUMNS = ("Severity", "ID", "Subject", "Where", "Found", "Fix")
_REMOTE = (
    "not looked at: whether nova-gpu-passthrough is installed where nova-scheduler and nova-api "
    "run, which their logs tell when they start"
)


class _Comparison(CloudCommand, StatusLister):
    """What both commands share: the fleet, the configuration and the cloud to be compared."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of both commands."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--config",
            metavar="DIR",
            type=Path,
            help="configuration of the services: a directory for each host, as nova-gpu config "
            "generate --write lays it out, or with copies of /etc or of Kolla's /etc/kolla",
        )
        parser.add_argument(
            "--nova-conf",
            metavar="[SERVICE@]HOST=PATH",
            action="append",
            default=[],
            help="a file or conf.d directory that api, conductor, scheduler, compute or placement "
            "of a host reads, instead of what --config has of it (may be repeated)",
        )
        parser.add_argument(
            "--started",
            metavar="COMMAND",
            action="append",
            default=[],
            help="command line of a service of Nova on the hosts of --config, such as "
            "'nova-scheduler --config-file /etc/nova/nova.conf': files that it names are read last "
            "(may be repeated)",
        )
        parser.add_argument(
            "--running",
            action="store_true",
            help="what the services of Nova that run on this machine read, in the order of their "
            "command lines, instead of what --config has of it (as root)",
        )
        parser.add_argument(
            "--record",
            metavar="FILE",
            type=Path,
            help="the record of what was applied (default: beside the fleet file, "
            "FLEET.applied.yaml)",
        )
        return parser

    def _services(self, options: argparse.Namespace, computes: set[str]) -> "tuple[Service, ...]":
        from nova_gpu_passthrough.cloud.lint.configuration import layout, named, running, started

        commands = started.parse_all(options.started)
        if commands and not options.config:
            raise UserError("--started is of the hosts of --config DIR: name that, too")
        found = layout.find(options.config, computes, commands) if options.config else ()
        if options.running:
            found = named.put_over(found, running.find())
        return named.put_over(found, named.find(options.nova_conf, computes))

    def _record(self, options: argparse.Namespace, fleet: str) -> "Record | None":
        from nova_gpu_passthrough.cloud.apply import record

        path = options.record or record.default_path(options.fleet)
        found = record.load(path)
        if found is not None:
            found.check(fleet, record.cloud_of(self.connection(options)), path)
        return found

    def _cloud(
        self,
        options: argparse.Namespace,
        resolved: "Resolved",
        desired: "Desired",
        record: "Record | None",
    ) -> "Cloud":
        from nova_gpu_passthrough.cloud.lint import reading

        connection = self.connection(options)
        with progress.shown() as tell:
            found = reading.read(connection, resolved, desired, record, tell)
        self.tell(found.view.notes)
        return found

    def _listed(
        self, options: argparse.Namespace, findings: Iterable[Finding]
    ) -> tuple[Sequence[str], Iterable[Any]]:
        order = (Severity.FAILURE, Severity.WARNING)
        rows = sorted(findings, key=lambda finding: order.index(finding.severity))
        columns = _COLUMNS if options.formatter == "table" else (*_COLUMNS, "Why")
        return columns, [_row(finding)[: len(columns)] for finding in rows]


class Lint(_Comparison):
    """Find contradictions between fleet file, configuration, and cloud, and say how to fix them.

    Compares aliases, devices, filters, weighers, Placement's options, resource providers, traits,
    flavors, aggregates and quotas. Without --config, --running and --nova-conf only the cloud is
    compared, with --offline only fleet file and configuration.

    Needs the role admin (not with --offline): Nova's services and hypervisors, Placement.

    Exit status: 0, or 1 with failures (with --strict also with warnings), or 2 with an error.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of the command."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--offline", action="store_true", help="look at files only, not at the cloud"
        )
        parser.add_argument(
            "--strict", action="store_true", help="end with status 1 if there are warnings"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Compare and list."""
        # Modules are imported where they are used: nova-gpu --help shall not wait for them.
        from nova_gpu_passthrough.cloud.lint import checks
        from nova_gpu_passthrough.cloud.lint.facts import Facts
        from nova_gpu_passthrough.fleet import desired_state

        resolved = self.required_fleet(parsed_args)
        wanted, made = desired_state.make(resolved)
        cloud = None
        if not parsed_args.offline:
            known = self._record(parsed_args, wanted.fleet)
            cloud = self._cloud(parsed_args, resolved, wanted, known)
        services = self._services(parsed_args, _computes(resolved, cloud))
        facts = Facts(resolved, wanted, made, services, cloud)
        self.tell(_notes(facts))
        findings = checks.findings(facts)
        severities = {finding.severity for finding in findings}
        if Severity.FAILURE in severities or (severities and parsed_args.strict):
            self.status = 1
        return self._listed(parsed_args, findings)


class Drift(_Comparison):
    """Find what has changed since nova-gpu apply: cloud, configuration, fleet file.

    The cloud is compared with the record that apply wrote; configuration, if --config, --running or
    --nova-conf name any, and devices with the fleet file.

    Needs the role admin: Nova's services and hypervisors, Placement, Keystone's limits.

    Exit status: 0, or 1 if anything has changed, or 2 with an error.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Compare and list."""
        from nova_gpu_passthrough.cloud.apply import record
        from nova_gpu_passthrough.cloud.lint import drift
        from nova_gpu_passthrough.cloud.lint.facts import Facts
        from nova_gpu_passthrough.fleet import desired_state

        resolved = self.required_fleet(parsed_args)
        wanted, made = desired_state.make(resolved)
        path = parsed_args.record or record.default_path(parsed_args.fleet)
        known = self._record(parsed_args, wanted.fleet)
        if known is None or not known.applied_at:
            raise UserError(
                f"{path}: there is no record of an applied state; run nova-gpu apply first, or "
                "name the record with --record FILE"
            )
        cloud = self._cloud(parsed_args, resolved, known.desired, known)
        services = self._services(parsed_args, _computes(resolved, cloud))
        facts = Facts(resolved, known.desired, made, services, cloud)
        self.tell(_notes(facts))
        findings = list(drift.findings(facts, wanted, known, str(path)))
        self.status = 1 if findings else 0
        return self._listed(parsed_args, findings)


def _computes(resolved: "Resolved", cloud: "Cloud | None") -> set[str]:
    """Hosts on which nova-compute runs, as far as is known."""
    seen = cloud.view.hosts if cloud else ()
    return {*resolved.inventories, *(host.name for host in seen)}


def _notes(facts: "Facts") -> Iterator[str]:
    """What was not looked at."""
    from nova_gpu_passthrough.cloud.lint.configuration.services import Role

    if not facts.services:
        return
    for service in facts.role(Role.COMPUTE):
        if service.host not in facts.resolved.inventories:
            yield (
                f"{service.name}: taken for a compute node without GPUs, since its files tell "
                "nothing of the control plane's; name it with --nova-conf SERVICE@HOST=PATH if it "
                "is none"
            )
    known = {service.host for service in facts.role(Role.COMPUTE)}
    for host in sorted(set(facts.offers) - known):
        yield f"{host}: no configuration of its nova-compute was given"
    for role in Role:
        if role is not Role.COMPUTE and not facts.role(role):
            yield f"no configuration of {role} was given"
    yield _REMOTE


def _row(finding: Finding) -> tuple[Any, ...]:
    return (
        Coloured(finding.severity),
        finding.id,
        finding.subject,
        finding.source,
        finding.found,
        finding.fix,
        finding.why,
    )
