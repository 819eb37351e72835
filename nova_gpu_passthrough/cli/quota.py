# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu quota list``: limits, usage and rest of GPUs, by project."""

import argparse
import fnmatch
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cli import terminal
from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.cli.listing import ListCommand, OptionalColumn
from nova_gpu_passthrough.cli.table import Layout
from nova_gpu_passthrough.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.quota.model import (
        CloudQuotas,
        LimitOrigin,
        ProjectQuotas,
        ResourceQuota,
    )
    from nova_gpu_passthrough.cloud.quota.project_usage import ListedProject

_COLUMNS = ("Project", "Model", "Limit", "Used", "Left")
_LONG = ("Project ID", "Resource", "Limit From")
_GLOB = frozenset("*?[")


class NoLimitColumn(OptionalColumn):
    """The missing number where there is no limit: null for programs, the reason for people."""

    def __init__(self, origin: "LimitOrigin") -> None:
        super().__init__(None)
        self._origin = origin

    def human_readable(self) -> str:
        """Return why there is no number."""
        return "unknown" if self._origin == "unknown" else "unlimited"


class ListQuotas(CloudCommand, ListCommand):
    """List how many GPUs of each model projects may use, use, and have left.

    Limits are Nova's unified limits in Keystone: those of the project, or else the registered
    limits; usage is that of Placement, as Nova counts it. Without a number there is no limit.
    Projects that use no GPUs and have no limits of their own are left out; --all lists them, too.
    Nova's own quotas (nova.quota.DbQuotaDriver) cannot limit GPUs: then only usage is listed.

    Needs role reader for your own project, and role admin for all projects.
    """

    role = "reader"
    examples = """
        nova-gpu quota list
          projects that use GPUs or have limits of their own
        nova-gpu quota list --project research
          one project, with all models
        nova-gpu --os-cloud tenant quota list
          your own project
    """
    long_columns = _LONG
    layout = Layout(heading=("Project", "Model"))

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--project",
            metavar="PROJECT",
            action="append",
            help="list only this project (name, pattern or id), with all models; may be repeated",
        )
        parser.add_argument(
            "--all",
            action="store_true",
            help="list also projects that use no GPUs and have no limits of their own",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Read quotas and list them."""
        # First, so that an invalid fleet file is reported before requests are sent.
        fleet = self.load_fleet(parsed_args)
        connection = self.connection(parsed_args)
        from nova_gpu_passthrough.cloud.quota import project_quotas

        with terminal.progress_bar() as report_progress:
            quotas = project_quotas.read(
                connection,
                fleet,
                report_progress,
                lambda listed, _: _selected(listed, parsed_args.project or ()),
            )
        self.print_notes(quotas.notes)
        everything = bool(parsed_args.all or parsed_args.project or not quotas.all_projects)
        rows = [
            _row(project, quotas.models[resource], quota)
            for project in quotas.projects
            for resource, quota in sorted(
                project.quotas.items(), key=lambda item: (quotas.models[item[0]], item[0])
            )
            if everything or not quota.is_default
        ]
        if not everything:
            self._note_others(quotas)
        self.nothing = "No project uses GPUs or has a limit of its own: see --all"
        if not quotas.models:
            self.nothing = "No GPUs are limited or in use"
        return _COLUMNS + _LONG, rows

    def _note_others(self, quotas: "CloudQuotas") -> None:
        others = [
            project
            for project in quotas.projects
            if all(quota.is_default for quota in project.quotas.values())
        ]
        if not others or not quotas.models:
            return
        defaults = {
            f"{quotas.models[resource]} {'no limit' if quota.limit is None else quota.limit}": None
            for resource, quota in others[0].quotas.items()
        }
        subject = f"{len(others)} projects use no GPUs and have"
        if len(others) == 1:
            subject = f"project {others[0].name} uses no GPUs and has"
        self.print_notes([f"{subject} the default limits: {', '.join(defaults)}"])


def _selected(
    listed: "tuple[ListedProject, ...]", patterns: Sequence[str]
) -> "Iterable[ListedProject]":
    """Return the projects that match; all without patterns.

    :raises UserError: if a pattern matches none
    """
    if not patterns:
        return listed
    found: dict[str, ListedProject] = {}
    for pattern in patterns:
        matches = [
            project
            for project in listed
            if pattern in (project.id, project.name.removesuffix(f" ({project.id})"))
            or fnmatch.fnmatchcase(project.name.lower(), pattern.lower())
        ]
        if not matches:
            what = "project matches" if _GLOB & set(pattern) else "project is named"
            hint = did_you_mean(pattern, [project.name for project in listed], 3)
            raise UserError(f"no {what} {pattern}{hint}")
        found |= {project.id: project for project in matches}
    return found.values()


def _limit(number: int | None, origin: "LimitOrigin") -> int | NoLimitColumn:
    return NoLimitColumn(origin) if number is None else number


def _row(project: "ProjectQuotas", model: str, quota: "ResourceQuota") -> tuple[Any, ...]:
    return (
        project.name,
        model,
        _limit(quota.limit, quota.origin),
        quota.used,
        _limit(quota.left, quota.origin),
        project.id,
        quota.resource,
        str(quota.origin),
    )
