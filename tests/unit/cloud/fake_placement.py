# SPDX-License-Identifier: Apache-2.0
"""The real Placement in this process, with a database in memory."""

import json
import logging
import threading
import uuid

import webob
from placement import deploy
from placement.tests.functional.fixtures.placement import PlacementFixture

VERSION = "placement 1.39"
MANAGED = "COMPUTE_MANAGED_PCI_DEVICE"


class Placement:
    """Placement's API, and the changes that nova-compute and nova-scheduler make."""

    def __init__(self):
        for name in ("placement", "oslo_db", "oslo_policy"):
            # Keep its messages out of the log of the program under test.
            logging.getLogger(name).setLevel(logging.ERROR)
        self._fixture = PlacementFixture(use_intercept=False)
        self._fixture.setUp()
        self._app = deploy.loadapp(self._fixture.conf_fixture.conf)
        # All requests share one connection to the database.
        self._lock = threading.Lock()
        self._created = set()

    def close(self):
        """Delete the database."""
        self._fixture.cleanUp()

    def answer(self, method, path, headers, body):
        """Return status, headers and body for any request."""
        names = ("openstack-api-version", "accept", "content-type")
        passed = {name: headers[name] for name in names if name in headers}
        passed["x-auth-token"] = "admin"
        request = webob.Request.blank(path, method=method, headers=passed, body=body or b"")
        with self._lock:
            response = request.get_response(self._app)
        return response.status_int, dict(response.headers), response.body

    def call(self, method, path, body=None):
        """Send a request as nova-compute or an operator does; return the body of the response."""
        headers = {"openstack-api-version": VERSION, "accept": "application/json"}
        text = b"" if body is None else json.dumps(body).encode()
        if text:
            headers["content-type"] = "application/json"
        status, _, answer = self.answer(method, path, headers, text)
        assert status < 400, (method, path, status, answer)
        return json.loads(answer) if answer else None

    def add_provider(self, name, inventories, traits=(), parent=None):
        """Add a provider and return its UUID; inventories are totals, or in Placement's format."""
        key = str(uuid.uuid4())
        family = {"parent_provider_uuid": parent} if parent else {}
        self.call("POST", "/resource_providers", {"name": name, "uuid": key, **family})
        self.set_inventories(key, inventories, 0)
        if traits:
            self.set_traits(key, traits, 1)
        return key

    def set_inventories(self, provider, inventories, generation=None):
        """Replace the inventories of a provider."""
        self._create_names("resource_classes", inventories)
        full = {
            name: {"total": value} if isinstance(value, int) else value
            for name, value in inventories.items()
        }
        body = {"inventories": full} | self._generation(provider, generation)
        self.call("PUT", f"/resource_providers/{provider}/inventories", body)

    def set_traits(self, provider, traits, generation=None):
        """Replace the traits of a provider."""
        self._create_names("traits", traits)
        body = {"traits": [*traits]} | self._generation(provider, generation)
        self.call("PUT", f"/resource_providers/{provider}/traits", body)

    def add_host(self, name, cpus=64, pcpus=0, memory=262144, traits=(), reserved=4096):
        """Add a compute node's root provider, as nova-compute does; return its UUID."""
        inventories = {
            "VCPU": {"total": cpus, "allocation_ratio": 4.0},
            "MEMORY_MB": {"total": memory, "reserved": reserved},
            "DISK_GB": 2000,
        }
        if pcpus:
            inventories["PCPU"] = pcpus
        return self.add_provider(name, inventories, traits)

    def add_device(self, root, name, resource_class, traits=(), total=1, reserved=0):
        """Add a PCI device's provider below a compute node's, as nova-compute does."""
        inventory = {"total": total, "max_unit": total, "reserved": reserved}
        return self.add_provider(name, {resource_class: inventory}, [*traits, MANAGED], root)

    def allocate(self, consumer, resources, project="p1", kind="INSTANCE"):
        """Allocate resources to a consumer: amounts by class by provider."""
        body = {
            "allocations": {key: {"resources": amounts} for key, amounts in resources.items()},
            "project_id": project,
            "user_id": "u1",
            "consumer_generation": None,
            "consumer_type": kind,
        }
        self.call("PUT", f"/allocations/{consumer}", body)

    def _create_names(self, kind, names):
        for name in names:
            if name.startswith("CUSTOM_") and (kind, name) not in self._created:
                self.call("PUT", f"/{kind}/{name}")
                self._created.add((kind, name))

    def _generation(self, provider, known):
        if known is None:
            known = self.call("GET", f"/resource_providers/{provider}")["generation"]
        return {"resource_provider_generation": known}
