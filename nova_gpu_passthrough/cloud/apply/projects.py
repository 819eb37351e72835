# SPDX-License-Identifier: Apache-2.0
"""Keystone's projects: find the ids of those that the fleet file names."""

from typing import Any
from urllib.parse import quote

from openstack import exceptions

from nova_gpu_passthrough.cloud.apply.writer import CloudWriter
from nova_gpu_passthrough.fleet.desired_state import ProjectName

#: The id of the domain that Keystone creates itself.
DEFAULT_DOMAIN = "default"


class UnknownProject(Exception):
    """No project, or more than one, has a name; the message is a sentence without its subject."""


class Projects:
    """Looks up projects, each of them once."""

    def __init__(self, api: CloudWriter) -> None:
        self._api = api
        self._ids: dict[ProjectName, str | UnknownProject] = {}
        self._names: dict[str, str] = {}

    def id(self, project: ProjectName) -> str:
        """Return the id of a project, which has a name or id, and a domain by name or id.

        Without a domain it is the only project of that name, or else the one in the domain of the
        caller's project, or else the one in the domain ``default``.

        :raises UnknownProject: if there is no such project, or the name is ambiguous
        """
        if project not in self._ids:
            try:
                self._ids[project] = self._find(project)
            except UnknownProject as error:
                self._ids[project] = error
        result = self._ids[project]
        if isinstance(result, UnknownProject):
            raise result
        return result

    def name(self, project_id: str) -> str:
        """Return the name of a project; its id if the project was deleted."""
        if project_id not in self._names:
            project = self._show(f"/projects/{quote(project_id, safe='')}", "project")
            self._names[project_id] = project["name"] if project else project_id
        return self._names[project_id]

    def _find(self, project: ProjectName) -> str:
        parameters = {"name": project.name}
        if project.domain is not None:
            parameters["domain_id"] = self._domain_id(project.domain)
        matches = self._api.keystone("/projects", **parameters)["projects"]
        if not matches:
            by_id = self._show(f"/projects/{quote(project.name, safe='')}", "project")
            if by_id and parameters.get("domain_id") in (None, by_id.get("domain_id")):
                matches = [by_id]
        if not matches:
            where = f" in domain {project.domain}" if project.domain else ""
            raise UnknownProject(f"there is no project {project.name}{where}")
        for domain_id in (self._api.project_domain_id, DEFAULT_DOMAIN):
            if len(matches) > 1:
                matches = [one for one in matches if one.get("domain_id") == domain_id] or matches
        if len(matches) > 1:
            raise UnknownProject(
                f"there are {len(matches)} projects {project.name}: name the domain, too"
            )
        project_id: str = matches[0]["id"]
        self._names[project_id] = matches[0]["name"]
        return project_id

    def _domain_id(self, name: str) -> str:
        matches = self._api.keystone("/domains", name=name)["domains"]
        domain = matches[0] if matches else self._show(f"/domains/{quote(name, safe='')}", "domain")
        if not domain:
            raise UnknownProject(f"there is no domain {name}")
        domain_id: str = domain["id"]
        return domain_id

    def _show(self, path: str, key: str) -> dict[str, Any] | None:
        """Return one object of Keystone; None if it does not exist."""
        try:
            resource: dict[str, Any] = self._api.keystone(path)[key]
        except exceptions.NotFoundException:
            return None
        return resource
