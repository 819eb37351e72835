# SPDX-License-Identifier: Apache-2.0
"""``lint`` and ``drift``: differences from the fleet file, or from the last applied state."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cli import terminal
from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.cli.finding_list import FindingListCommand, count
from nova_gpu_passthrough.cli.gpu_command import CommandGroup
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.inventory import host_list
from nova_gpu_passthrough.inventory.findings import Severity

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.apply.record import Record
    from nova_gpu_passthrough.cloud.lint.cloud_facts import CloudFacts
    from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService
    from nova_gpu_passthrough.cloud.lint.facts import Facts
    from nova_gpu_passthrough.fleet.desired_state import DesiredState
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet

_REMOTE = (
    "not checked: whether nova-gpu-passthrough is installed where nova-scheduler and nova-api "
    "run; the logs of these services show it when they start"
)


class _ComparisonCommand(CloudCommand, FindingListCommand):
    """The base of both commands: reads the fleet, the configuration and the cloud to compare."""

    group = CommandGroup.FLEET
    nothing = "No contradictions"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of both commands."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--config",
            metavar="DIR",
            type=Path,
            help="configuration of the services: a directory for each host, as nova-gpu config "
            "generate --write writes it, or with copies of /etc or of Kolla's /etc/kolla",
        )
        parser.add_argument(
            "--nova-conf",
            metavar="[SERVICE@]HOST=PATH",
            action="append",
            default=[],
            help="a file or conf.d directory that the service api, conductor, scheduler, compute "
            "or placement of a host reads; replaces that service in --config (may be repeated)",
        )
        parser.add_argument(
            "--started",
            metavar="COMMAND",
            action="append",
            default=[],
            help="command line of a Nova service on the hosts of --config, such as "
            "'nova-scheduler --config-file /etc/nova/nova.conf': the files that it names are read "
            "last (may be repeated)",
        )
        parser.add_argument(
            "--running",
            action="store_true",
            help="read the files of the Nova services that run on this machine, in the order of "
            "their command lines; replaces these services in --config (needs root)",
        )
        parser.add_argument(
            "--record",
            metavar="FILE",
            type=Path,
            help="the record that apply wrote (default: beside the fleet file, FLEET.applied.yaml)",
        )
        return parser

    def _services(
        self, options: argparse.Namespace, computes: set[str]
    ) -> "tuple[ConfiguredService, ...]":
        from nova_gpu_passthrough.cloud.lint.configuration import (
            command_line,
            host_directories,
            named_files,
            running_services,
            services,
        )

        commands = command_line.parse_all(options.started)
        if commands and not options.config:
            raise UserError("--started describes hosts of --config DIR: give --config, too")
        configured = (
            host_directories.find(options.config, computes, commands) if options.config else ()
        )
        if options.running:
            configured = services.replace_services(configured, running_services.find())
        return services.replace_services(configured, named_files.find(options.nova_conf, computes))

    def _record(self, options: argparse.Namespace, fleet: str) -> "Record | None":
        from nova_gpu_passthrough.cloud.apply import record

        path = options.record or record.default_path(options.fleet)
        known = record.load(path)
        if known is not None:
            known.check(fleet, record.cloud_identity(self.connection(options)), path)
        return known

    def _cloud_facts(
        self,
        options: argparse.Namespace,
        resolved: "ResolvedFleet",
        desired: "DesiredState",
        record: "Record | None",
    ) -> "CloudFacts":
        from nova_gpu_passthrough.cloud.lint import cloud_facts

        connection = self.connection(options)
        with terminal.progress_bar() as report_progress:
            facts = cloud_facts.read(connection, resolved, desired, record, report_progress)
        self.print_notes(facts.view.notes)
        return facts

    def _compared(self, facts: "Facts") -> str:
        """Return how much was compared."""
        from nova_gpu_passthrough.cloud.lint import checked_flavors

        gpus = sum(len(offer.gpus) for offer in facts.offers.values())
        services = len(facts.services)
        counts = (
            count(len(facts.resolved.inventories), "host"),
            count(len(list(checked_flavors.checked_flavors(facts))), "flavor"),
            count(gpus, "GPU"),
            *([count(services, "service")] if services else ()),
        )
        return ", ".join(counts)


class LintCloud(_ComparisonCommand):
    """List contradictions between fleet file, configuration and cloud, and how to fix them.

    Compares aliases, devices, filters, weighers, Placement's options, resource providers, traits,
    flavors, aggregates and quotas. Without --config, --running and --nova-conf it compares only the
    cloud with the fleet file, with --offline only the configuration.

    Needs the role admin (not with --offline) for Nova's services and hypervisors, and Placement.

    Exit status: 0, or 1 with failures (with --strict also with warnings), or 2 with an error.
    """

    examples = """
        nova-gpu lint --fleet fleet.yaml
          compare the cloud with the fleet file
        nova-gpu lint --fleet fleet.yaml --config out --offline
          check generated configuration without a cloud
        nova-gpu lint --fleet fleet.yaml --running
          check also the services of this machine
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--offline", action="store_true", help="check only files, without the cloud"
        )
        parser.add_argument(
            "--strict", action="store_true", help="end with status 1 if there are warnings"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Compare and list."""
        # Imported here to keep nova-gpu --help fast.
        from nova_gpu_passthrough.cloud.lint import checks
        from nova_gpu_passthrough.cloud.lint.facts import Facts
        from nova_gpu_passthrough.fleet import derive_state

        resolved = self.require_fleet(parsed_args)
        desired, flavors = derive_state.make(resolved)
        cloud = None
        if not parsed_args.offline:
            known = self._record(parsed_args, desired.fleet)
            cloud = self._cloud_facts(parsed_args, resolved, desired, known)
        services = self._services(parsed_args, _compute_hosts(resolved, cloud))
        facts = Facts(resolved, desired, flavors, services, cloud, parsed_args.record)
        self.checked = self._compared(facts)
        self.print_notes(_notes(facts))
        findings = checks.findings(facts)
        severities = {finding.severity for finding in findings}
        if Severity.FAILURE in severities or (severities and parsed_args.strict):
            self.status = 1
        return self.list_findings(parsed_args, findings)


class ShowDrift(_ComparisonCommand):
    """List what has changed since nova-gpu apply: cloud, configuration, fleet file.

    Compares the cloud with the record that apply wrote; compares devices with the fleet file, and
    also the configuration if --config, --running or --nova-conf is given.

    Needs the role admin for Nova's services and hypervisors, Placement, and Keystone's limits.

    Exit status: 0, or 1 if anything has changed (objects that are not in the fleet file and that
    apply did not create do not count), or 2 with an error.
    """

    examples = """
        nova-gpu drift --fleet fleet.yaml
          what changed since apply; exit status 1 if anything did
    """
    nothing = "Nothing has changed"

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Compare and list."""
        from nova_gpu_passthrough.cloud.apply import record
        from nova_gpu_passthrough.cloud.lint import drift
        from nova_gpu_passthrough.cloud.lint.facts import Facts
        from nova_gpu_passthrough.fleet import derive_state

        resolved = self.require_fleet(parsed_args)
        desired, flavors = derive_state.make(resolved)
        path = parsed_args.record or record.default_path(parsed_args.fleet)
        known = self._record(parsed_args, desired.fleet)
        if known is None or not known.applied_at:
            raise UserError(
                f"{path}: there is no record of an applied state; run nova-gpu apply first, or "
                "name the record with --record FILE"
            )
        cloud = self._cloud_facts(parsed_args, resolved, known.desired, known)
        services = self._services(parsed_args, _compute_hosts(resolved, cloud))
        facts = Facts(resolved, known.desired, flavors, services, cloud, parsed_args.record)
        self.checked = self._compared(facts)
        self.print_notes(_notes(facts))
        findings = list(drift.findings(facts, desired, known, str(path)))
        self.status = 1 if any(map(drift.is_change, findings)) else 0
        return self.list_findings(parsed_args, findings)


def _compute_hosts(resolved: "ResolvedFleet", cloud: "CloudFacts | None") -> set[str]:
    """Return the hosts that are known to run nova-compute."""
    cloud_hosts = cloud.view.hosts if cloud else ()
    return {*resolved.inventories, *(host.name for host in cloud_hosts)}


def _notes(facts: "Facts") -> Iterator[str]:
    """List what was not checked."""
    from nova_gpu_passthrough.cloud.lint import other_fleet
    from nova_gpu_passthrough.cloud.lint.configuration.services import ServiceRole

    if not facts.services or other_fleet.find(facts):
        return
    computes = facts.services_with(ServiceRole.COMPUTE)
    if others := [s.name for s in computes if s.host not in facts.resolved.inventories]:
        yield (
            f"{_folded(others)}: treated as a compute node without GPUs, because its files have no "
            "options of the control plane; if it is another service, name it with --nova-conf "
            "SERVICE@HOST=PATH"
        )
    if unknown := set(facts.offers) - {service.host for service in computes}:
        yield f"{_folded(unknown)}: no configuration of nova-compute was given"
    for role in ServiceRole:
        if role is not ServiceRole.COMPUTE and not facts.services_with(role):
            yield f"no configuration of {role} was given"
    yield _REMOTE


def _folded(names: Iterable[str]) -> str:
    return ", ".join(host_list.fold(names))
