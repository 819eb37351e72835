# SPDX-License-Identifier: Apache-2.0
"""A fake nova-api, whose state is plain data that tests read and change.

Bodies have the format of microversion 2.98 (api-ref of Nova).
"""

import itertools
import uuid
from urllib.parse import unquote

from tests.unit.cloud.fake_routes import HttpError, Service, get_or_404, route

MAXIMUM = "2.104"
_QUOTAS = {"instances": 10, "cores": 20, "ram": 51200}
#: Names of these quotas as unified limits (nova/limit/placement.py).
_UNIFIED = {"instances": "servers", "cores": "class:VCPU", "ram": "class:MEMORY_MB"}


class FakeNova(Service):
    """A fake nova-api; its public attributes are its state."""

    def __init__(self):
        super().__init__()
        self.services, self.hypervisors = [], []
        self.aggregates, self.flavors, self.servers = {}, {}, {}
        #: By server: NUMA topology, and id of the flavor as long as that flavor exists.
        self.topologies, self.flavor_ids = {}, {}
        self.migrations = []
        #: Quotas that were set, by project; the quota class default.
        self.quotas, self.default_quotas = {}, dict(_QUOTAS)
        #: Keystone's registered limits, by id: Nova uses unified limits; None: its own quotas.
        self.unified_limits = None
        #: Page size of lists.
        self.page = 1000
        self._ids = itertools.count(1)

    # State that tests set

    def add_compute(self, host, provider, node=None, state="up", status="enabled", zone="nova"):
        """Add a nova-compute with one hypervisor."""
        self.services.append(
            {
                "id": str(uuid.uuid4()),
                "binary": "nova-compute",
                "host": host,
                "zone": zone,
                "state": state,
                "status": status,
                "disabled_reason": None if status == "enabled" else "being fixed",
                "forced_down": False,
            }
        )
        self.hypervisors.append(
            {
                "id": provider,
                "hypervisor_hostname": node or host,
                "state": state,
                "status": status,
                "service": {"host": host, "id": self.services[-1]["id"]},
            }
        )

    def add_flavor(self, name, vcpus=1, ram=1024, disk=1, public=True, access=(), **extra_specs):
        """Add a flavor, and return it; ``__`` in names of extra specs is replaced with a colon."""
        flavor = {
            "id": str(next(self._ids)),
            "name": name,
            "vcpus": vcpus,
            "ram": ram,
            "disk": disk,
            "swap": 0,
            "OS-FLV-EXT-DATA:ephemeral": 0,
            "os-flavor-access:is_public": public,
            "description": None,
            "extra_specs": {key.replace("__", ":"): str(v) for key, v in extra_specs.items()},
            "access": set(access),
        }
        self.flavors[flavor["id"]] = flavor
        return flavor

    def add_server(self, name, host, flavor, project="p1", status="ACTIVE", cells=(), **changes):
        """Add a server without allocations in Placement, and return it.

        :param cells: its NUMA topology in the format of the API
        """
        server = {
            "id": changes.pop("id", str(uuid.uuid4())),
            "name": name,
            "status": status,
            "tenant_id": project,
            "user_id": "id-alice",
            "created": "2026-01-01T08:00:00Z",
            "updated": "2026-02-01T08:00:00Z",
            "OS-EXT-SRV-ATTR:host": host,
            "OS-EXT-STS:task_state": None,
            "flavor": {
                "original_name": flavor["name"],
                "vcpus": flavor["vcpus"],
                "ram": flavor["ram"],
                "disk": flavor["disk"],
                "ephemeral": 0,
                "swap": 0,
                "extra_specs": dict(flavor["extra_specs"]),
            },
            # Empty for a volume-backed server.
            "image": {"id": "id-of-image", "properties": {}},
            **changes,
        }
        self.servers[server["id"]] = server
        self.topologies[server["id"]] = {"nodes": list(cells), "pagesize_kb": None}
        self.flavor_ids[server["id"]] = flavor.get("id")
        return server

    # The API

    @route("GET", "/os-services")
    def list_services(self, request):
        binary = request.parameters.get("binary")
        return {"services": [s for s in self.services if binary in (None, s["binary"])]}

    @route("GET", "/os-hypervisors/detail")
    def list_hypervisors(self, request):
        part = request.parameters.get("hypervisor_hostname_pattern")
        if part is None:
            return self._page("hypervisors", self.hypervisors, request)
        if "limit" in request.parameters or "marker" in request.parameters:
            raise HttpError(400, "Paging over hypervisors with this parameter is not supported.")
        nodes = [one for one in self.hypervisors if part in one["hypervisor_hostname"]]
        if not nodes:
            raise HttpError(404, f"No hypervisor matching '{part}' could be found.")
        return {"hypervisors": nodes}

    @route("GET", "/servers/detail")
    def list_servers(self, request):
        requested = request.parameters
        members = [
            server
            for server in self.servers.values()
            if requested.get("host") in (None, server["OS-EXT-SRV-ATTR:host"])
            and requested.get("flavor") in (None, self.flavor_ids.get(server["id"]))
            and requested.get("uuid") in (None, server["id"])
            and requested.get("status", "").upper() in ("", server["status"])
        ]
        return self._page("servers", members, request)

    @route("GET", "/servers")
    def list_servers_without_details(self, request):
        body = self.list_servers(request)
        brief = [{"id": server["id"], "name": server["name"]} for server in body["servers"]]
        return {**body, "servers": brief}

    @route("GET", "/servers/{server}")
    def show_server(self, request, server):
        return {"server": get_or_404(self.servers, server)}

    @route("GET", "/servers/{server}/topology")
    def show_topology(self, request, server):
        return get_or_404(self.topologies, server)

    @route("GET", "/os-migrations")
    def list_migrations(self, request):
        host = request.parameters.get("host")
        return {
            "migrations": [
                m for m in self.migrations if host in (None, m["source_compute"], m["dest_compute"])
            ]
        }

    @route("GET", "/flavors/detail")
    @route("GET", "/flavors")
    def list_flavors(self, request):
        return self._page("flavors", [_response_body(f) for f in self.flavors.values()], request)

    @route("POST", "/flavors")
    def create_flavor(self, request):
        requested = request.body["flavor"]
        if any(flavor["name"] == requested["name"] for flavor in self.flavors.values()):
            raise HttpError(409, f"Flavor with name {requested['name']} already exists.")
        if requested.get("id") in self.flavors:
            raise HttpError(409, f"Flavor with ID {requested['id']} already exists.")
        flavor = self.add_flavor(
            requested["name"],
            requested["vcpus"],
            requested["ram"],
            requested["disk"],
            requested.get("os-flavor-access:is_public", True),
        )
        for key in ("description", "swap", "OS-FLV-EXT-DATA:ephemeral"):
            flavor[key] = requested.get(key, flavor[key])
        if requested.get("id"):
            del self.flavors[flavor["id"]]
            flavor["id"] = requested["id"]
            self.flavors[flavor["id"]] = flavor
        return {"flavor": _response_body(flavor)}

    @route("GET", "/flavors/{flavor}")
    def show_flavor(self, request, flavor):
        return {"flavor": _response_body(get_or_404(self.flavors, flavor))}

    @route("DELETE", "/flavors/{flavor}")
    def delete_flavor(self, request, flavor):
        get_or_404(self.flavors, flavor)
        del self.flavors[flavor]
        # A later flavor of the same id is another flavor.
        self.flavor_ids = {s: f for s, f in self.flavor_ids.items() if f != flavor}
        return 202, None

    @route("GET", "/flavors/{flavor}/os-extra_specs")
    def list_extra_specs(self, request, flavor):
        return {"extra_specs": get_or_404(self.flavors, flavor)["extra_specs"]}

    @route("POST", "/flavors/{flavor}/os-extra_specs")
    def add_extra_specs(self, request, flavor):
        get_or_404(self.flavors, flavor)["extra_specs"] |= request.body["extra_specs"]
        return request.body

    @route("PUT", "/flavors/{flavor}/os-extra_specs/{key}")
    def set_extra_spec(self, request, flavor, key):
        get_or_404(self.flavors, flavor)["extra_specs"] |= request.body
        return request.body

    @route("DELETE", "/flavors/{flavor}/os-extra_specs/{key}")
    def delete_extra_spec(self, request, flavor, key):
        specs = get_or_404(self.flavors, flavor)["extra_specs"]
        get_or_404(specs, unquote(key))
        del specs[unquote(key)]
        return None

    @route("GET", "/flavors/{flavor}/os-flavor-access")
    def list_access(self, request, flavor):
        return self._access(flavor)

    @route("POST", "/flavors/{flavor}/action")
    def change_access(self, request, flavor):
        projects = get_or_404(self.flavors, flavor)["access"]
        ((action, body),) = request.body.items()
        if action == "addTenantAccess":
            if body["tenant"] in projects:
                raise HttpError(409, f"Flavor access already exists for project {body['tenant']}.")
            projects.add(body["tenant"])
        else:
            if body["tenant"] not in projects:
                raise HttpError(404, f"Flavor access not found for {body['tenant']}.")
            projects.remove(body["tenant"])
        return self._access(flavor)

    @route("GET", "/os-aggregates")
    def list_aggregates(self, request):
        return {"aggregates": list(self.aggregates.values())}

    @route("POST", "/os-aggregates")
    def create_aggregate(self, request):
        requested = request.body["aggregate"]
        if any(a["name"] == requested["name"] for a in self.aggregates.values()):
            raise HttpError(409, f"Aggregate {requested['name']} already exists.")
        zone = requested.get("availability_zone")
        aggregate = {
            "id": next(self._ids),
            "uuid": str(uuid.uuid4()),
            "name": requested["name"],
            "availability_zone": zone,
            "hosts": [],
            "metadata": {"availability_zone": zone} if zone else {},
        }
        self.aggregates[str(aggregate["id"])] = aggregate
        return {"aggregate": aggregate}

    @route("PUT", "/os-aggregates/{aggregate}")
    def update_aggregate(self, request, aggregate):
        known, requested = get_or_404(self.aggregates, aggregate), request.body["aggregate"]
        if "availability_zone" in requested:
            self._check_zone(known, requested["availability_zone"])
        known |= requested
        if "availability_zone" in requested:
            known["metadata"]["availability_zone"] = requested["availability_zone"]
        return {"aggregate": known}

    @route("DELETE", "/os-aggregates/{aggregate}")
    def delete_aggregate(self, request, aggregate):
        if get_or_404(self.aggregates, aggregate)["hosts"]:
            raise HttpError(400, f"Cannot remove aggregate {aggregate}: not empty.")
        del self.aggregates[aggregate]
        return None

    @route("POST", "/os-aggregates/{aggregate}/action")
    def do_aggregate_action(self, request, aggregate):
        known = get_or_404(self.aggregates, aggregate)
        ((action, body),) = request.body.items()
        if action == "set_metadata":
            if "availability_zone" in body["metadata"]:
                self._check_zone(known, body["metadata"]["availability_zone"])
            for key, value in body["metadata"].items():
                known["metadata"][key] = value
                if value is None:
                    del known["metadata"][key]
            known["availability_zone"] = known["metadata"].get("availability_zone")
        elif action == "add_host":
            if body["host"] not in {service["host"] for service in self.services}:
                raise HttpError(404, f"Compute host {body['host']} could not be found.")
            if body["host"] in known["hosts"]:
                raise HttpError(409, f"Cannot add host {body['host']}: already in it.")
            self._check_host(known, body["host"], added=True)
            known["hosts"].append(body["host"])
        else:
            if body["host"] not in known["hosts"]:
                raise HttpError(404, f"Host {body['host']} not found.")
            self._check_host(known, body["host"], added=False)
            known["hosts"].remove(body["host"])
        return {"aggregate": known}

    @route("GET", "/os-quota-sets/{project}/defaults")
    def show_defaults(self, request, project):
        return {"quota_set": {"id": project, **self.default_quotas}}

    @route("GET", "/limits")
    def show_limits(self, request):
        """``GET /limits`` of the project ``id-admin``, or of another one as an administrator."""
        project = request.parameters.get("tenant_id", "id-admin")
        quotas = self.default_quotas | self.quotas.get(project, {})
        servers = [one for one in self.servers.values() if one["tenant_id"] == project]
        absolute = {
            "maxTotalInstances": quotas["instances"],
            "maxTotalCores": quotas["cores"],
            "maxTotalRAMSize": quotas["ram"],
            "totalInstancesUsed": len(servers),
            "totalCoresUsed": sum(one["flavor"]["vcpus"] for one in servers),
            "totalRAMUsed": sum(one["flavor"]["ram"] for one in servers),
        }
        return {"limits": {"rate": [], "absolute": absolute}}

    @route("GET", "/os-quota-sets/{project}")
    def show_quotas(self, request, project):
        return {"quota_set": {"id": project, **self.default_quotas, **self.quotas.get(project, {})}}

    @route("PUT", "/os-quota-sets/{project}")
    def set_quotas(self, request, project):
        self.quotas[project] = self.quotas.get(project, {}) | request.body["quota_set"]
        return self.show_quotas(request, project)

    @route("DELETE", "/os-quota-sets/{project}")
    def delete_quotas(self, request, project):
        self.quotas.pop(project, None)
        return 202, None

    @route("GET", "/os-quota-class-sets/default")
    def show_default_quotas(self, request):
        quotas = self.default_quotas
        if self.unified_limits is not None:
            limits = self.unified_limits.values()
            defaults = {one["resource_name"]: one["default_limit"] for one in limits}
            quotas = {name: defaults.get(unified, 0) for name, unified in _UNIFIED.items()}
        return {"quota_class_set": {"id": "default", **quotas}}

    @route("PUT", "/os-quota-class-sets/default")
    def set_default_quotas(self, request):
        self.default_quotas |= request.body["quota_class_set"]
        return self.show_default_quotas(request)

    def _check_zone(self, aggregate, zone):
        """``is_safe_to_update_az`` in nova/compute/api.py."""
        if not zone:
            raise HttpError(400, "Aggregate does not support empty named availability zone.")
        if zone == aggregate["availability_zone"]:
            return
        for host in aggregate["hosts"]:
            if self._zones(host, aggregate) - {zone}:
                raise HttpError(400, "One or more hosts already in availability zone(s).")
            if self._has_servers(host):
                raise HttpError(400, "One or more hosts contain instances in this zone.")

    def _check_host(self, aggregate, host, added):
        """``ensure_no_instances_need_to_move_az_...`` in nova/compute/api.py."""
        zone, others = aggregate["availability_zone"], self._zones(host, aggregate)
        if added and zone and others - {zone}:
            raise HttpError(409, f"Host {host} is already in availability zone(s) {others}.")
        if zone and others != {zone} and self._has_servers(host):
            raise HttpError(409, f"The availability zone of the instances on {host} would change.")

    def _zones(self, host, without):
        return {
            one["availability_zone"]
            for one in self.aggregates.values()
            if one is not without and host in one["hosts"] and one["availability_zone"]
        }

    def _has_servers(self, host):
        return any(s["OS-EXT-SRV-ATTR:host"] == host for s in self.servers.values())

    def _access(self, flavor):
        projects = sorted(get_or_404(self.flavors, flavor)["access"])
        return {"flavor_access": [{"flavor_id": flavor, "tenant_id": p} for p in projects]}

    def _page(self, name, members, request):
        ids = [member["id"] for member in members]
        marker = request.parameters.get("marker")
        start = ids.index(marker) + 1 if marker else 0
        limit = min(int(request.parameters.get("limit", self.page)), self.page)
        body = {name: members[start : start + limit]}
        if start + limit < len(members):
            last = ids[start + limit - 1]
            link = f"http://cloud/compute/v2.1/{name}/detail?marker={last}"
            body[f"{name}_links"] = [{"rel": "next", "href": link}]
        return body


def _response_body(flavor):
    return {key: value for key, value in flavor.items() if key != "access"}
