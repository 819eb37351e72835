# SPDX-License-Identifier: Apache-2.0
"""Projects of Keystone: from what the fleet file calls them to their ids."""

from typing import Any
from urllib.parse import quote

from openstack import exceptions

from nova_gpu_passthrough.cloud.apply.api import Api
from nova_gpu_passthrough.fleet.desired import ProjectName

#: Keystone's own first domain.
DEFAULT_DOMAIN = "default"


class UnknownProject(Exception):
    """There is no such project, or more than one; the message is a sentence without its subject."""


class Projects:
    """Those that were asked for; each is looked up once."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._ids: dict[ProjectName, str | UnknownProject] = {}
        self._names: dict[str, str] = {}

    def id(self, project: ProjectName) -> str:
        """The id of a project that is named by name or id, of a domain by name or id.

        Without a domain it is the only project of that name, or the one in the domain of the
        caller's project, or in the domain ``default``.

        :raises UnknownProject: if there is none, or which one is meant is not clear
        """
        if project not in self._ids:
            try:
                self._ids[project] = self._find(project)
            except UnknownProject as error:
                self._ids[project] = error
        found = self._ids[project]
        if isinstance(found, UnknownProject):
            raise found
        return found

    def name(self, number: str) -> str:
        """What to call a project of which the id is known: its name, or the id if it has gone."""
        if number not in self._names:
            found = self._one(f"/projects/{quote(number, safe='')}", "project")
            self._names[number] = found["name"] if found else number
        return self._names[number]

    def _find(self, project: ProjectName) -> str:
        parameters = {"name": project.name}
        if project.domain is not None:
            parameters["domain_id"] = self._domain(project.domain)
        found = self._api.keystone("/projects", **parameters)["projects"]
        if not found:
            one = self._one(f"/projects/{quote(project.name, safe='')}", "project")
            if one and parameters.get("domain_id") in (None, one.get("domain_id")):
                found = [one]
        if not found:
            where = f" in domain {project.domain}" if project.domain else ""
            raise UnknownProject(f"there is no project {project.name}{where}")
        for home in (self._api.home_domain, DEFAULT_DOMAIN):
            if len(found) > 1:
                found = [one for one in found if one.get("domain_id") == home] or found
        if len(found) > 1:
            raise UnknownProject(
                f"there are {len(found)} projects {project.name}: name the domain, too"
            )
        number: str = found[0]["id"]
        self._names[number] = found[0]["name"]
        return number

    def _domain(self, name: str) -> str:
        found = self._api.keystone("/domains", name=name)["domains"]
        one = found[0] if found else self._one(f"/domains/{quote(name, safe='')}", "domain")
        if not one:
            raise UnknownProject(f"there is no domain {name}")
        number: str = one["id"]
        return number

    def _one(self, path: str, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._api.keystone(path)[name]
        except exceptions.NotFoundException:
            return None
        return found
