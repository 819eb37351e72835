# SPDX-License-Identifier: Apache-2.0
"""The option ``--project`` of commands that answer for the servers of one project."""

import argparse
from typing import TYPE_CHECKING

from nova_gpu_passthrough.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from nova_gpu_passthrough.cli.cloud_command import CloudCommand


def add(parser: argparse.ArgumentParser, help_text: str) -> None:
    """Add the option.

    :param help_text: what the command does for the servers of this project
    """
    parser.add_argument("--project", metavar="PROJECT", help=f"{help_text} (name or id)")


def find(command: "CloudCommand", options: argparse.Namespace) -> str | None:
    """Return the id of the project that the option names; None without the option.

    Commands call it before they read the cloud, which takes longer.

    :raises UserError: if there is no such project, or more than one
    """
    name = options.project
    if not name:
        return None
    from nova_gpu_passthrough.cloud.apply.projects import Projects, UnknownProject
    from nova_gpu_passthrough.cloud.apply.writer import CloudWriter
    from nova_gpu_passthrough.cloud.view import owners
    from nova_gpu_passthrough.fleet.desired_state import ProjectName

    api = CloudWriter(command.connection(options))
    try:
        return Projects(api).id(ProjectName(name))
    except UnknownProject as error:
        known = set(owners.read(api, ()).projects.values())
        raise UserError(f"--project {name}: {error}{did_you_mean(name, known)}") from None
