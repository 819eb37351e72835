# SPDX-License-Identifier: Apache-2.0
"""Checks of allocations against servers and migrations."""

import pytest

from nova_gpu_passthrough.cloud.view import allocations
from nova_gpu_passthrough.cloud.view.allocations import Migration
from nova_gpu_passthrough.cloud.view.model import Server

ALIAS = "pci_passthrough:alias"


def server(status="ACTIVE", host="gpu1", task=None, alias="a:1"):
    return Server(
        "s1", "name", status, "p1", host, "f", 1, 1, {ALIAS: alias} if alias else {}, (), task
    )


@pytest.mark.parametrize("status", ["ACTIVE", "ERROR", "SHUTOFF", "SOFT_DELETED", "SHELVED"])
def test_a_server_may_have_devices_of_its_host(status):
    assert allocations.allocation_error("s1", "gpu1", server(status), None) == ""


@pytest.mark.parametrize(
    "moving", [server("BUILD", None), server("RESIZE"), server(task="migrating"), server("UNKNOWN")]
)
def test_a_server_that_is_moved_or_unreachable_may_have_devices_of_another_host(moving):
    assert allocations.allocation_error("s1", "gpu2", moving, None) == ""


@pytest.mark.parametrize(
    ("other", "words"),
    [(server(), "on gpu1"), (server("SHELVED_OFFLOADED", None), "on no host")],
)
def test_a_server_on_another_host_may_not(other, words):
    assert words in allocations.allocation_error("s1", "gpu2", other, None)


@pytest.mark.parametrize("status", ["migrating", "finished", "post-migrating", "confirming"])
def test_a_migration_may_have_devices_until_it_ends(status):
    assert allocations.allocation_error("m1", "gpu1", None, Migration("m1", "s1", status)) == ""


@pytest.mark.parametrize("status", ["confirmed", "reverted", "error", "done", "cancelled"])
def test_a_migration_that_ended_may_have_none(status):
    assert "has ended" in allocations.allocation_error(
        "m1", "gpu1", None, Migration("m1", "s1", status)
    )


@pytest.mark.parametrize(
    ("alias", "count"),
    [("a:1", 1), ("a:4,a-audio:4", 8), ("a:1, b:2", 3), ("", None), ("a", None), ("a:x", None)],
)
def test_devices_that_a_flavor_requests(alias, count):
    assert allocations.requested_devices({ALIAS: alias}) == count


def test_a_flavor_without_alias_requests_none():
    assert allocations.requested_devices({}) == 0


@pytest.mark.parametrize(
    ("consumer", "allocated"), [(server(), 1), (server(status="RESIZE"), 2), (server(alias="?"), 9)]
)
def test_no_surplus(consumer, allocated):
    assert allocations.describe_surplus(consumer, allocated) == ""


def test_a_surplus():
    surplus = allocations.describe_surplus(server(), 2)
    assert "has 2 devices of this host allocated and its flavor requests 1" in surplus
