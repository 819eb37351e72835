# SPDX-License-Identifier: Apache-2.0
"""Read the names of the projects and users that own servers; Nova knows only their ids."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openstack import exceptions

from nova_gpu_passthrough.cloud.view.model import Server
from nova_gpu_passthrough.cloud.view.reader import CloudReader, is_not_found


@dataclass(frozen=True)
class Owners:
    """Names of projects and users by id, as far as Keystone reports them."""

    projects: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict)
    #: What could not be read, in one sentence.
    notes: tuple[str, ...] = ()

    def project(self, server: Server) -> str:
        """Return the name of a server's project, or its id if the name is not known."""
        return self.projects.get(server.project_id, server.project_id)

    def user(self, server: Server) -> str:
        """Return the name of the user who created a server, or the id if it is not known."""
        return self.users.get(server.user_id, server.user_id)


def read(reader: CloudReader, servers: Iterable[Server]) -> Owners:
    """Read the names of all projects, and of the users who own servers.

    Keystone may have more users than fit into one answer, so each is read by itself.

    :raises openstack.exceptions.HttpException: if Keystone fails, but not if it refuses
    """
    refused = []
    try:
        projects = unique_names(reader.keystone("/projects")["projects"])
    except exceptions.ForbiddenException:
        projects = {}
        refused.append("projects")
    ids = sorted({server.user_id for server in servers} - {""})
    users: dict[str, str] = {}
    try:
        # The first one alone: if Keystone refuses it, it refuses all.
        found = [_user(reader, key) for key in ids[:1]]
        found += reader.each("users", ids[1:], lambda key: _user(reader, key))
        users = unique_names(user for user in found if user)
    except exceptions.ForbiddenException:
        refused.append("users")
    note = f"Keystone does not permit reading the names of {' and '.join(refused)}: ids are shown"
    return Owners(projects, users, (note,) if refused else ())


def _user(reader: CloudReader, key: str) -> Mapping[str, Any] | None:
    """Return a user; None for one that was deleted."""
    try:
        user: Mapping[str, Any] = reader.keystone(f"/users/{key}")["user"]
    except exceptions.HttpException as error:
        if is_not_found(error):
            return None
        raise
    return user


def unique_names(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return names by id, with the id where domains have the same name."""
    found = {entry["id"]: entry["name"] for entry in entries}
    count = Counter(found.values())
    return {key: f"{name} ({key})" if count[name] > 1 else name for key, name in found.items()}
