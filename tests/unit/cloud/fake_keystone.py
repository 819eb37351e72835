# SPDX-License-Identifier: Apache-2.0
"""A fake Keystone: tokens, projects and unified limits (api-ref of Keystone, v3)."""

import itertools

from tests.unit.cloud.fake_routes import HttpError, Service, get_or_404, route

EXPIRES = "2099-01-01T00:00:00.000000Z"


class FakeKeystone(Service):
    """A fake Keystone; its public attributes are its state."""

    def __init__(self, endpoints, region="RegionOne"):
        super().__init__()
        self.endpoints, self.region = endpoints, region
        #: Passwords and role names by user.
        self.passwords = {"admin": "secret-of-admin", "alice": "secret-of-alice"}
        self.roles = {"admin": ["admin", "member", "reader"], "alice": ["member", "reader"]}
        #: Name of the project of all tokens; None: of system scope.
        self.project = "admin"
        self.projects, self.domains = {}, {"default": {"id": "default", "name": "Default"}}
        self.registered_limits, self.limits = {}, {}
        self.users = {f"id-{name}": {"id": f"id-{name}", "name": name} for name in self.passwords}
        #: Enforcement model of limits.
        self.model = "flat"
        self._ids = itertools.count(1)
        for name in ("admin", "research", "teaching"):
            self.add_project(name)

    def add_project(self, name, domain="default"):
        """Add a project, whose id is its name with a prefix; return it."""
        project = {"id": f"id-{name}", "name": name, "domain_id": domain, "enabled": True}
        self.projects[project["id"]] = project
        return project

    def limit(self, resource, value, project=None):
        """Register a limit of Nova, or set that of a project (by name)."""
        limit = {"service_id": "id-compute", "region_id": self.region, "resource_name": resource}
        key = f"limit-{next(self._ids)}"
        if project is None:
            self.registered_limits[key] = {"id": key, **limit, "default_limit": value}
        else:
            owner = {"project_id": f"id-{project}", "domain_id": None}
            self.limits[key] = {"id": key, **limit, **owner, "resource_limit": value}

    @property
    def services(self):
        """The catalogue's services by type."""
        return {kind: {"id": f"id-{kind}", "type": kind, "name": kind} for kind in self.endpoints}

    @route("GET", "")
    @route("GET", "/")
    def show_version(self, request):
        links = [{"rel": "self", "href": self.endpoints["identity"]}]
        return {"version": {"id": "v3.14", "status": "stable", "links": links}}

    @route("POST", "/auth/tokens")
    def create_token(self, request):
        identity = request.body["auth"]["identity"]
        if "password" not in identity["methods"]:
            raise HttpError(401, "The request you have made requires authentication.")
        user = identity["password"]["user"]
        if self.passwords.get(user["name"]) != user["password"]:
            raise HttpError(401, "The request you have made requires authentication.")
        catalog = [
            {
                **service,
                "endpoints": [
                    {
                        "id": f"id-of-{kind}-endpoint",
                        "interface": "public",
                        "region": self.region,
                        "region_id": self.region,
                        "url": self.endpoints[kind],
                    }
                ],
            }
            for kind, service in self.services.items()
        ]
        token = {
            "methods": ["password"],
            "user": {"id": f"id-{user['name']}", "name": user["name"], "domain": {"id": "default"}},
            **self._scope(),
            "roles": [{"id": name, "name": name} for name in self.roles[user["name"]]],
            "catalog": catalog,
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "expires_at": EXPIRES,
        }
        return 201, {"token": token}

    def _scope(self):
        if self.project is None:
            return {"system": {"all": True}}
        name = self.project
        return {"project": {"id": f"id-{name}", "name": name, "domain": {"id": "default"}}}

    @route("GET", "/projects")
    def list_projects(self, request):
        return {"projects": _filter(self.projects, request, "name", "domain_id")}

    @route("GET", "/projects/{project}")
    def show_project(self, request, project):
        return {"project": get_or_404(self.projects, project)}

    @route("GET", "/users/{user}")
    def show_user(self, request, user):
        return {"user": get_or_404(self.users, user)}

    @route("GET", "/domains")
    def list_domains(self, request):
        return {"domains": _filter(self.domains, request, "name")}

    @route("GET", "/domains/{domain}")
    def show_domain(self, request, domain):
        return {"domain": get_or_404(self.domains, domain)}

    @route("GET", "/services")
    def list_services(self, request):
        return {"services": _filter(self.services, request, "type", "name")}

    @route("GET", "/endpoints")
    def list_endpoints(self, request):
        endpoints = [
            {"id": f"id-{kind}", "service_id": f"id-{kind}", "region_id": self.region}
            for kind in self.endpoints
        ]
        return {"endpoints": _filter(endpoints, request, "service_id")}

    @route("GET", "/regions")
    def list_regions(self, request):
        return {"regions": [{"id": self.region, "description": "", "parent_region_id": None}]}

    @route("GET", "/regions/{region}")
    def show_region(self, request, region):
        return {"region": get_or_404({self.region: {"id": self.region}}, region)}

    @route("GET", "/limits/model")
    def enforcement_model(self, request):
        return {"model": {"name": self.model, "description": ""}}

    @route("GET", "/(?P<kind>registered_limits|limits)")
    def list_limits(self, request, kind):
        keys = ("service_id", "region_id", "resource_name", "project_id")
        return {kind: _filter(self._limits(kind), request, *keys)}

    @route("POST", "/(?P<kind>registered_limits|limits)")
    def create_limits(self, request, kind):
        collection, made = self._limits(kind), []
        for requested in request.body[kind]:
            if kind == "limits" and not self._registered(requested):
                raise HttpError(403, "Unable to create a limit that has no registered limit.")
            limit = {"id": f"{kind}-{next(self._ids)}", "region_id": None, **requested}
            key = ("service_id", "region_id", "resource_name", "project_id")
            if any(all(o.get(k) == limit.get(k) for k in key) for o in collection.values()):
                raise HttpError(409, "Conflict occurred attempting to store limit.")
            collection[limit["id"]] = limit
            made.append(limit)
        return 201, {kind: made}

    @route("GET", "/(?P<kind>registered_limits|limits)/{limit}")
    def show_limit(self, request, kind, limit):
        return {kind[:-1]: get_or_404(self._limits(kind), limit)}

    @route("PATCH", "/(?P<kind>registered_limits|limits)/{limit}")
    def change_limit(self, request, kind, limit):
        known = get_or_404(self._limits(kind), limit)
        self._check_reference(kind, known)
        # keystone/limit/backends/sql.py: ``if limit.get('resource_limit')``.
        new = request.body[kind[:-1]]
        known |= {key: value for key, value in new.items() if kind != "limits" or value}
        return {kind[:-1]: known}

    @route("DELETE", "/(?P<kind>registered_limits|limits)/{limit}")
    def delete_limit(self, request, kind, limit):
        self._check_reference(kind, get_or_404(self._limits(kind), limit))
        del self._limits(kind)[limit]
        return 204, None

    def _registered(self, limit):
        keys = ("service_id", "region_id", "resource_name")
        return any(
            all(one.get(key) == limit.get(key) for key in keys)
            for one in self.registered_limits.values()
        )

    def _check_reference(self, kind, limit):
        """``_check_referenced_limit_reference`` in keystone/limit/backends/sql.py."""
        keys = ("service_id", "region_id", "resource_name")
        if kind == "registered_limits" and any(
            all(one.get(key) == limit.get(key) for key in keys) for one in self.limits.values()
        ):
            text = "Unable to update or delete registered limit because there are project limits."
            raise HttpError(403, text)

    def fault(self, failure):
        """Return the body of an error response in Keystone's format."""
        titles = {401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict"}
        title = titles.get(failure.status, "Error")
        return {"error": {"code": failure.status, "message": failure.message, "title": title}}

    def _limits(self, kind):
        return self.registered_limits if kind == "registered_limits" else self.limits


def _filter(collection, request, *keys):
    members = collection.values() if isinstance(collection, dict) else collection
    return [
        member
        for member in members
        if all(request.parameters.get(key) in (None, member.get(key)) for key in keys)
    ]
