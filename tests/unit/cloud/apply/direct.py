# SPDX-License-Identifier: Apache-2.0
"""A cloud without HTTP, for thousands of runs: the same stand-ins of Nova and Keystone, and names
of Placement. What goes wrong in it can be chosen to the request.
"""

import json
from types import SimpleNamespace
from urllib.parse import urlsplit

import requests
import tenacity
from openstack import exceptions

from nova_gpu_passthrough.cloud.apply import execution, plan
from nova_gpu_passthrough.cloud.apply.api import Api
from nova_gpu_passthrough.cloud.apply.record import Cloud, Ledger, Record
from tests.unit.cloud.fake_keystone import FakeKeystone
from tests.unit.cloud.fake_nova import FakeNova
from tests.unit.cloud.fake_routes import Failure, Service, found, route


class Killed(BaseException):
    """The process ends here: nothing is caught, nothing is written."""


def away():
    """What a service that is away for a moment looks like."""
    response = requests.Response()
    response.status_code = 503
    return exceptions.HttpException("away", response=response)


class FakeNames(Service):
    """Traits and resource classes of Placement, and which of them a provider has."""

    def __init__(self):
        super().__init__()
        self.traits, self.classes, self.used = set(), set(), set()
        #: Hosts by UUID of their aggregate, as Nova has them, and pairs that Placement has not.
        self.members, self.lost = dict, set()

    @route("GET", "/traits")
    def list_traits(self, query):
        associated = query.parameters.get("associated")
        return {"traits": sorted(self.traits & self.used if associated else self.traits)}

    @route("GET", "/resource_classes")
    def list_classes(self, query):
        return {"resource_classes": [{"name": name} for name in sorted(self.classes | {"VCPU"})]}

    @route("GET", "/resource_providers")
    def list_providers(self, query):
        aggregate, name = map(query.parameters.get, ("member_of", "name"))
        if aggregate:
            hosts = self.members().get(aggregate, ())
            names = [host for host in hosts if (aggregate, host) not in self.lost]
            return {"resource_providers": [{"name": n, "uuid": f"provider-{n}"} for n in names]}
        if name:
            return {"resource_providers": [{"name": name, "uuid": f"provider-{name}"}]}
        # All they have is in use: Placement finds none by what it has left.
        if query.parameters:
            return {"resource_providers": []}
        return {"resource_providers": [{"uuid": name} for name in sorted(self.used)]}

    @route("GET", "/resource_providers/{provider}/inventories")
    def list_inventories(self, query, provider):
        return {"inventories": {provider: {"total": 1}}}

    @route("GET", "/resource_providers/{provider}/aggregates")
    def list_aggregates(self, query, provider):
        host = provider.removeprefix("provider-")
        known = [k for k, v in self.members().items() if host in v and (k, host) not in self.lost]
        return {"aggregates": known, "resource_provider_generation": 1}

    @route("PUT", "/resource_providers/{provider}/aggregates")
    def set_aggregates(self, query, provider):
        host = provider.removeprefix("provider-")
        self.lost -= {(aggregate, host) for aggregate in query.body["aggregates"]}
        return query.body

    @route("PUT", "/(?P<kind>traits|resource_classes)/{name}")
    def put(self, query, kind, name):
        names = self.traits if kind == "traits" else self.classes
        status = 204 if name in names else 201
        names.add(name)
        return status, None

    @route("DELETE", "/(?P<kind>traits|resource_classes)/{name}")
    def delete(self, query, kind, name):
        names = self.traits if kind == "traits" else self.classes
        found(dict.fromkeys(names), name)
        if name in self.used:
            raise Failure(409, f"{name} is in use by resource providers")
        names.discard(name)
        return 204, None


class DirectCloud:
    """The state of a cloud, and the record of what was applied to it."""

    def __init__(self):
        self.nova, self.names = FakeNova(), FakeNames()
        self.keystone = FakeKeystone({"compute": "", "identity": ""})
        self.names.members = lambda: {
            one["uuid"]: one["hosts"] for one in self.nova.aggregates.values()
        }
        #: Method and URL of each request.
        self.asked = []
        self.record = Record("paris", Cloud("http://cloud/identity", "RegionOne"))
        #: Gets to know each request that changes something: before it, and after.
        self.before = self.after = lambda number, what: None
        #: Requests that change something.
        self.changing = 0

    def add_hosts(self, *hosts):
        """Hosts with nova-compute."""
        for host in hosts:
            self.nova.add_compute(host, f"provider-{host}")

    def plan(self, desired, **options):
        """What would be done."""
        return plan.compare(DirectApi(self), desired, self.record, **options)

    def apply(self, desired, **options):
        """Do it; the refusals."""
        api = DirectApi(self)
        made = plan.compare(api, desired, self.record, **options)
        return execution.run(api, made, Ledger(self.record, self._keep))

    def _keep(self, record):
        self.record = record

    def answer(self, service, method, url, body, version):
        """Status and body of an answer."""
        if method != "GET":
            self.changing += 1
        number, what = self.changing, f"{method} {url}"
        self.asked.append(what)
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


class DirectApi(Api):
    """Asks a `DirectCloud`, without waiting."""

    def __init__(self, cloud):
        super().__init__(SimpleNamespace(compute=None, placement=None))
        self._cloud = cloud
        self.pause = tenacity.wait_none()
        config = SimpleNamespace(
            config={"auth": {}}, name="", get_region_name=lambda service: "RegionOne"
        )
        self.connection = SimpleNamespace(config=config, session=SimpleNamespace(auth=None))

    def each(self, what, items, read):
        """Without threads."""
        return [read(item) for item in items]

    def request(self, service, method, url, body, version):
        """One request."""
        status, answer = self._cloud.answer(service, method, url, body, version)
        if status >= 400:
            response = requests.Response()
            response.status_code, response.url = status, f"http://cloud{url}"
            response.headers["Content-Type"] = "application/json"
            response._content = json.dumps(answer).encode()
            exceptions.raise_from_response(response)
        return status, answer
