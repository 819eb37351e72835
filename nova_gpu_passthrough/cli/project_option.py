# SPDX-License-Identifier: Apache-2.0
"""The option ``--project`` of commands that answer for the servers of one project."""

import argparse
from typing import TYPE_CHECKING

from nova_gpu_passthrough.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from openstack.connection import Connection


def add(parser: argparse.ArgumentParser, help_text: str) -> None:
    """Add the option."""
    parser.add_argument("--project", metavar="PROJECT", help=f"{help_text} (name or id)")


def find(connection: "Connection", name: str) -> str:
    """Return the id of the project with that name or id.

    :raises UserError: if there is none, or more than one
    """
    from nova_gpu_passthrough.cloud.apply.projects import Projects, UnknownProject
    from nova_gpu_passthrough.cloud.apply.writer import CloudWriter
    from nova_gpu_passthrough.cloud.view import owners
    from nova_gpu_passthrough.fleet.desired_state import ProjectName

    api = CloudWriter(connection)
    try:
        return Projects(api).id(ProjectName(name))
    except UnknownProject as error:
        known = set(owners.read(api, ()).projects.values())
        raise UserError(f"--project {name}: {error}{did_you_mean(name, known)}") from None
