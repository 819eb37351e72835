# SPDX-License-Identifier: Apache-2.0
"""A fake cloud without HTTP, fast enough for thousands of runs.

It uses the same fakes of Nova and Keystone, and a small one of Placement. Tests choose which
request fails.
"""

import json
from types import SimpleNamespace
from urllib.parse import urlsplit

import requests
import tenacity
from openstack import exceptions

from nova_gpu_passthrough.cloud.apply import comparison, execution
from nova_gpu_passthrough.cloud.apply.record import CloudIdentity, Ledger, Record
from nova_gpu_passthrough.cloud.apply.writer import CloudWriter
from tests.unit.cloud.fake_keystone import FakeKeystone
from tests.unit.cloud.fake_nova import FakeNova
from tests.unit.cloud.fake_routes import HttpError, Service, get_or_404, route


class Killed(BaseException):
    """Stands for the end of the process: no handler catches it."""


def away():
    """Return the exception for a service that is unavailable for a moment."""
    response = requests.Response()
    response.status_code = 503
    return exceptions.HttpException("away", response=response)


class FakeNames(Service):
    """A fake of Placement: traits, resource classes, and aggregates of providers."""

    def __init__(self):
        super().__init__()
        self.traits, self.classes, self.used = set(), set(), set()
        #: Hosts in Nova by UUID of their aggregate; (aggregate, host) pairs missing in Placement.
        self.members, self.lost = dict, set()

    @route("GET", "/traits")
    def list_traits(self, request):
        associated = request.parameters.get("associated")
        return {"traits": sorted(self.traits & self.used if associated else self.traits)}

    @route("GET", "/resource_classes")
    def list_classes(self, request):
        return {"resource_classes": [{"name": name} for name in sorted(self.classes | {"VCPU"})]}

    @route("GET", "/resource_providers")
    def list_providers(self, request):
        aggregate, name = map(request.parameters.get, ("member_of", "name"))
        if aggregate:
            hosts = self.members().get(aggregate, ())
            names = [host for host in hosts if (aggregate, host) not in self.lost]
            return {"resource_providers": [{"name": n, "uuid": f"provider-{n}"} for n in names]}
        if name:
            return {"resource_providers": [{"name": name, "uuid": f"provider-{name}"}]}
        # All inventories are in use, so no provider has free resources.
        if request.parameters:
            return {"resource_providers": []}
        return {"resource_providers": [{"uuid": name} for name in sorted(self.used)]}

    @route("GET", "/resource_providers/{provider}/inventories")
    def list_inventories(self, request, provider):
        return {"inventories": {provider: {"total": 1}}}

    @route("GET", "/resource_providers/{provider}/aggregates")
    def list_aggregates(self, request, provider):
        host = provider.removeprefix("provider-")
        known = [k for k, v in self.members().items() if host in v and (k, host) not in self.lost]
        return {"aggregates": known, "resource_provider_generation": 1}

    @route("PUT", "/resource_providers/{provider}/aggregates")
    def set_aggregates(self, request, provider):
        host = provider.removeprefix("provider-")
        self.lost -= {(aggregate, host) for aggregate in request.body["aggregates"]}
        return request.body

    @route("PUT", "/(?P<kind>traits|resource_classes)/{name}")
    def put(self, request, kind, name):
        names = self.traits if kind == "traits" else self.classes
        status = 204 if name in names else 201
        names.add(name)
        return status, None

    @route("DELETE", "/(?P<kind>traits|resource_classes)/{name}")
    def delete(self, request, kind, name):
        names = self.traits if kind == "traits" else self.classes
        get_or_404(dict.fromkeys(names), name)
        if name in self.used:
            raise HttpError(409, f"{name} is in use by resource providers")
        names.discard(name)
        return 204, None


class DirectCloud:
    """The state of a fake cloud, and the record of the last apply."""

    def __init__(self):
        self.nova, self.names = FakeNova(), FakeNames()
        self.keystone = FakeKeystone({"compute": "", "identity": ""})
        self.names.members = lambda: {
            one["uuid"]: one["hosts"] for one in self.nova.aggregates.values()
        }
        #: Method and URL of each request.
        self.requested = []
        self.record = Record("paris", CloudIdentity("http://cloud/identity", "RegionOne"))
        #: Callbacks before and after each changing request.
        self.before = self.after = lambda number, what: None
        #: Number of changing requests.
        self.changing = 0

    def add_hosts(self, *hosts):
        """Add hosts with nova-compute."""
        for host in hosts:
            self.nova.add_compute(host, f"provider-{host}")

    def plan(self, desired, **options):
        """Return the plan."""
        return comparison.compare(DirectApi(self), desired, self.record, **options)

    def apply(self, desired, **options):
        """Make the changes of a plan; return the refused ones."""
        api = DirectApi(self)
        made = comparison.compare(api, desired, self.record, **options)
        return execution.run(api, made, Ledger(self.record, self._keep))

    def _keep(self, record):
        self.record = record

    def answer(self, service, method, url, body, version):
        """Return the status and body of a response."""
        if method != "GET":
            self.changing += 1
        number, what = self.changing, f"{method} {url}"
        self.requested.append(what)
        if method != "GET":
            self.before(number, what)
        fakes = {"compute": self.nova, "placement": self.names, "identity": self.keystone}
        text = None if body is None else json.dumps(body)
        headers = {"X-OpenStack-Nova-API-Version": version or ""}
        request = SimpleNamespace(url=f"http://cloud{url}", body=text, headers=headers)
        status, answer = fakes[service].answer(method, urlsplit(url).path, request)
        if method != "GET":
            self.after(number, what)
        return status, json.loads(json.dumps(answer))


class DirectApi(CloudWriter):
    """Sends requests to a `DirectCloud`, without pauses."""

    def __init__(self, cloud):
        super().__init__(SimpleNamespace(compute=None, placement=None))
        self._cloud = cloud
        self.pause = tenacity.wait_none()
        config = SimpleNamespace(
            config={"auth": {}}, name="", get_region_name=lambda service: "RegionOne"
        )
        self.connection = SimpleNamespace(config=config, session=SimpleNamespace(auth=None))

    def each(self, what, items, read):
        """Call the function without threads."""
        return [read(item) for item in items]

    def request(self, service, method, url, body, version):
        """Send one request."""
        status, answer = self._cloud.answer(service, method, url, body, version)
        if status >= 400:
            response = requests.Response()
            response.status_code, response.url = status, f"http://cloud{url}"
            response.headers["Content-Type"] = "application/json"
            response._content = json.dumps(answer).encode()
            exceptions.raise_from_response(response)
        return status, answer
