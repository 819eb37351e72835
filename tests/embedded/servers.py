# SPDX-License-Identifier: Apache-2.0
"""Actions on servers of the embedded cloud, through Nova's API."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tests.embedded.harness import NovaHarness

Server = dict[str, Any]
T = TypeVar("T")


class CloudError(RuntimeError):
    """A server did not reach the requested status; the message has Nova's reason."""

    def __init__(self, message: str, server: Server | None = None) -> None:
        super().__init__(message)
        self.server = server or {}


class ServerActions:
    """Mixin with the API calls; each waits until Nova has finished, unless ``wait`` is false."""

    #: Seconds between two polls of Nova's API, and until a wait times out.
    poll_interval = 0.1
    timeout = 60.0

    nova: NovaHarness

    def create_flavor(
        self,
        name: str,
        vcpus: int = 4,
        ram_mib: int = 8192,
        gpus: Mapping[str, int] | None = None,
        extra_specs: Mapping[str, str] | None = None,
    ) -> str:
        """Create a flavor.

        :param gpus: number of devices by alias
        :returns: its id, for :meth:`boot` and :meth:`resize`
        """
        specs = dict(extra_specs or {})
        if gpus:
            specs["pci_passthrough:alias"] = ",".join(f"{a}:{n}" for a, n in gpus.items())
        return self.nova._create_flavor(
            id=name,
            name=name,
            vcpu=vcpus,
            memory_mb=ram_mib,
            disk=1,
            ephemeral=0,
            extra_spec=specs or None,
        )

    def create_image(self, **properties: str) -> str:
        """Register an image with properties such as ``hw_pci_numa_affinity_policy``.

        :returns: its id, for :meth:`boot`
        """
        image = self.nova.glance.show(None, self._default_image())
        image = dict(image, id=str(uuid.uuid4()), name="image with properties")
        image["properties"] = dict(image["properties"], **properties)
        return self.nova.glance.create(None, image)["id"]

    def _default_image(self) -> str:
        return self.nova.glance.auto_disk_config_disabled_image["id"]

    @contextlib.contextmanager
    def as_project(self, project_id: str) -> Iterator[None]:
        """Send requests as an administrator in another project, to which new servers belong."""
        api = self.nova.api
        own, api.project_id = api.project_id, project_id
        try:
            yield
        finally:
            api.project_id = own

    def boot(
        self,
        flavor: str,
        name: str | None = None,
        count: int = 1,
        host: str | None = None,
        wait: bool = True,
        image: str | None = None,
        expect: str = "ACTIVE",
        hints: Mapping[str, Any] | None = None,
        **body: Any,
    ) -> list[Server]:
        """Create servers in one request.

        :param count: how many
        :param host: the only host to consider (the scheduler's filters still apply)
        :param wait: wait until every server has the status ``expect``
        :param hints: scheduler hints
        :param body: further fields of the request's ``server``
        :returns: the servers, in the order in which Nova made them
        :raises CloudError: if a server ends in another status; says why
        """
        request: dict[str, Any] = {
            "name": name or f"{flavor}-{uuid.uuid4().hex[:6]}",
            "flavorRef": flavor,
            "imageRef": image or self._default_image(),
            "networks": "none",
            "min_count": count,
            "max_count": count,
            "return_reservation_id": True,
            **body,
        }
        if host is not None:
            request["host"] = host
        message: dict[str, Any] = {"server": request}
        if hints:
            message["os:scheduler_hints"] = dict(hints)
        reservation = self.nova.api.api_post("/servers", message).body["reservation_id"]
        servers = self._reserved(reservation)
        return [self.wait_status(server, expect) for server in servers] if wait else servers

    def _reserved(self, reservation: str) -> list[Server]:
        servers = self.nova.api.get_servers(search_opts={"reservation_id": reservation})
        return sorted(servers, key=lambda server: server["OS-EXT-SRV-ATTR:launch_index"])

    def show(self, server: Server) -> Server:
        """Return the current state of the server."""
        return self.nova.api.get_server(server["id"])

    def wait_status(self, server: Server, status: str) -> Server:
        """Wait until a server has a status and Nova has finished all actions on it.

        :returns: the state of the server then
        :raises CloudError: on time-out, or at once if it went to ERROR instead
        """

        def poll() -> Server | None:
            current = self.show(server)
            if current["status"] == "ERROR" and "fault" not in current:
                return None
            if current["status"] == "ERROR" != status:
                name, fault = current["name"], current["fault"]
                raise CloudError(
                    f"server {name} went to ERROR instead of {status}: {fault['message']}"
                    + (f"\n{fault['details']}" if "details" in fault else ""),
                    current,
                )
            if current["OS-EXT-STS:task_state"] or not self._idle(server):
                return None
            if current["status"] != status:
                self._raise_if_failed(current, status)
                return None
            return current

        return self._wait(poll, lambda: f"{status}, is {self.show(server)}")

    def _wait(self, poll: Callable[[], T | None], what: Callable[[], str]) -> T:
        deadline = time.monotonic() + self.timeout
        while (result := poll()) is None:
            if time.monotonic() > deadline:
                raise CloudError(f"timed out after {self.timeout} s waiting for {what()}")
            time.sleep(self.poll_interval)
        return result

    def _idle(self, server: Server) -> bool:
        """Check whether every event of the server's latest action has finished."""
        return all(event["finish_time"] for event in self._latest_events(server))

    def _latest_events(self, server: Server) -> list[dict[str, Any]]:
        actions = self.nova.api.get_instance_actions(server["id"])
        if not actions:
            return []
        latest = self.nova.api.get_instance_action_details(server["id"], actions[0]["request_id"])
        events: list[dict[str, Any]] = latest["events"]
        return events

    def _raise_if_failed(self, server: Server, status: str) -> None:
        """Raise if the latest action failed and left the server unchanged."""
        for event in self._latest_events(server):
            if event["result"] == "Error":
                raise CloudError(
                    f"server {server['name']} stays {server['status']} instead of {status}: "
                    f"{event['event']} failed: {event.get('details') or event.get('traceback')}",
                    server,
                )

    def _act(self, server: Server, action: str, body: Any, status: str) -> Server:
        self.nova.api.post_server_action(server["id"], {action: body})
        return self.wait_status(server, status)

    def delete(self, *servers: Server) -> None:
        """Delete servers and wait until their resources are free."""
        for server in servers:
            self.nova.api.delete_server(server["id"])
        for server in servers:
            self._wait(lambda server=server: self._gone(server) or None, lambda: "deletion")

    def _gone(self, server: Server) -> bool:
        path = f"/servers/{server['id']}"
        response = self.nova.api.api_request(path, method="GET", check_response_status=[200, 404])
        return response.status_code == 404 and self._idle(server)

    def resize(self, server: Server, flavor: str) -> Server:
        """Resize until VERIFY_RESIZE."""
        return self._act(server, "resize", {"flavorRef": flavor}, "VERIFY_RESIZE")

    def migrate(self, server: Server, host: str | None = None) -> Server:
        """Migrate cold until VERIFY_RESIZE."""
        return self._act(server, "migrate", {"host": host} if host else None, "VERIFY_RESIZE")

    def confirm_resize(self, server: Server) -> Server:
        """Confirm a resize or cold migration."""
        return self._act(server, "confirmResize", None, "ACTIVE")

    def revert_resize(self, server: Server) -> Server:
        """Revert a resize or cold migration."""
        return self._act(server, "revertResize", None, "ACTIVE")

    def rebuild(self, server: Server, image: str | None = None) -> Server:
        """Rebuild from an image (default: the plain one)."""
        body = {"imageRef": image or self._default_image()}
        return self._act(server, "rebuild", body, "ACTIVE")

    def shelve(self, server: Server) -> Server:
        """Shelve; the server keeps its host and devices until :meth:`shelve_offload`."""
        return self._act(server, "shelve", None, "SHELVED")

    def shelve_offload(self, server: Server) -> Server:
        """Remove a shelved server from its host."""
        return self._act(server, "shelveOffload", None, "SHELVED_OFFLOADED")

    def unshelve(self, server: Server, host: str | None = None) -> Server:
        """Unshelve a server."""
        return self._act(server, "unshelve", {"host": host} if host else None, "ACTIVE")

    def evacuate(self, server: Server, host: str | None = None) -> Server:
        """Rebuild a server of a failed host (see ``fail_host``) on another one, until SHUTOFF."""
        return self._act(server, "evacuate", {"host": host} if host else {}, "SHUTOFF")
