# SPDX-License-Identifier: Apache-2.0
"""Placement's own application with an empty database, and random clouds in it."""

import uuid

import fixtures
import webob
from placement import deploy
from placement.tests.functional.fixtures.placement import PlacementFixture

HEADERS = {
    "X-Auth-Token": "admin",
    "OpenStack-API-Version": "placement 1.39",
    "Content-Type": "application/json",
}
GPU, NIC = "CUSTOM_GPU", "CUSTOM_NIC"
FAST = "CUSTOM_FAST"


class Service(fixtures.Fixture):
    """Placement in this process."""

    def _setUp(self):
        fixture = self.useFixture(PlacementFixture(use_intercept=False))
        self.config = fixture.conf_fixture
        self.application = deploy.loadapp(fixture.conf_fixture.conf)
        for name in (GPU, NIC):
            self.call("PUT", f"/resource_classes/{name}")
        self.call("PUT", f"/traits/{FAST}")
        self._consumers = []
        self._providers = []

    def clear(self):
        """Delete all allocations and providers."""
        for consumer in self._consumers:
            self.call("DELETE", f"/allocations/{consumer}")
        for provider in reversed(self._providers):
            assert self.call("DELETE", f"/resource_providers/{provider}").status_int == 204
        self._consumers.clear()
        self._providers.clear()

    def call(self, method, path, body=None, application=None, headers=HEADERS):
        """Send a request and return the response."""
        request = webob.Request.blank(path, method=method, headers=headers)
        if body is not None:
            request.json = body
        response = request.get_response(application or self.application)
        assert response.status_int < 500, response.text
        return response

    def add_provider(self, inventories, parent=None, traits=(), used=None, aggregates=()):
        """Add a provider; ``inventories`` are totals, or whole inventories, by resource class."""
        name = str(uuid.uuid4())
        body = {"name": name, "uuid": name, "parent_provider_uuid": parent}
        assert self.call("POST", "/resource_providers", body).status_int == 200
        self._providers.append(name)
        full = {
            rc: {"total": value} if isinstance(value, int) else value
            for rc, value in inventories.items()
        }
        path = f"/resource_providers/{name}"
        for suffix, content in (
            ("inventories", {"inventories": full}),
            ("traits", {"traits": list(traits)}),
            ("aggregates", {"aggregates": list(aggregates)}),
        ):
            content["resource_provider_generation"] = self.call("GET", path).json["generation"]
            assert self.call("PUT", f"{path}/{suffix}", content).status_int == 200
        if used:
            assert self.claim({name: {"resources": used}}).status_int == 204
        return name

    def claim(self, allocations, mappings=None):
        """Allocate resources to a new consumer."""
        body = {
            "allocations": allocations,
            "project_id": "p",
            "user_id": "u",
            "consumer_generation": None,
            "consumer_type": "INSTANCE",
        }
        if mappings:
            body["mappings"] = mappings
        self._consumers.append(uuid.uuid4())
        return self.call("PUT", f"/allocations/{self._consumers[-1]}", body)


def fill(service, rng, hosts):
    """Add hosts with CPUs, and with GPUs and NICs of which some are in use or reserved."""
    storage = str(uuid.uuid4())
    if rng.random() < 0.3:
        service.add_provider(
            {"DISK_GB": 1000}, traits=["MISC_SHARES_VIA_AGGREGATE"], aggregates=[storage]
        )
    for _ in range(hosts):
        disk = {} if rng.random() < 0.3 else {"DISK_GB": 100}
        host = service.add_provider(
            {"VCPU": rng.choice([1, 16]), "MEMORY_MB": 4096, **disk}, aggregates=[storage]
        )
        for rc in (GPU, NIC):
            for _ in range(rng.randint(0, 4)):
                state = rng.choices(["free", "reserved", "used"], [7, 1, 2])[0]
                service.add_provider(
                    {rc: {"total": 1, "reserved": int(state == "reserved")}},
                    host,
                    [FAST] if rng.random() < 0.6 else (),
                    {rc: 1} if state == "used" else None,
                )
