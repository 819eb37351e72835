# SPDX-License-Identifier: Apache-2.0
"""Who may hold a device of a host."""

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
def test_a_server_holds_devices_of_its_host(status):
    assert allocations.why_wrong("s1", "gpu1", server(status), None) == ""


@pytest.mark.parametrize(
    "moving", [server("BUILD", None), server("RESIZE"), server(task="migrating"), server("UNKNOWN")]
)
def test_a_server_on_its_way_or_out_of_reach_may_hold_them(moving):
    assert allocations.why_wrong("s1", "gpu2", moving, None) == ""


@pytest.mark.parametrize(
    ("elsewhere", "word"),
    [(server(), "on gpu1"), (server("SHELVED_OFFLOADED", None), "on no host")],
)
def test_a_server_that_is_elsewhere_may_not(elsewhere, word):
    assert word in allocations.why_wrong("s1", "gpu2", elsewhere, None)


@pytest.mark.parametrize("status", ["migrating", "finished", "post-migrating", "confirming"])
def test_a_move_holds_devices_until_it_ends(status):
    assert allocations.why_wrong("m1", "gpu1", None, Migration("m1", "s1", status)) == ""


@pytest.mark.parametrize("status", ["confirmed", "reverted", "error", "done", "cancelled"])
def test_a_move_that_ended_holds_nothing(status):
    assert "has ended" in allocations.why_wrong("m1", "gpu1", None, Migration("m1", "s1", status))


@pytest.mark.parametrize(
    ("alias", "count"),
    [("a:1", 1), ("a:4,a-audio:4", 8), ("a:1, b:2", 3), ("", 0), ("a", None), ("a:x", None)],
)
def test_devices_that_a_flavor_asks_for(alias, count):
    assert allocations.devices_wanted({ALIAS: alias}) == count


def test_a_flavor_without_alias_asks_for_none():
    assert allocations.devices_wanted({}) == 0


@pytest.mark.parametrize(
    ("holder", "held"), [(server(), 1), (server(status="RESIZE"), 2), (server(alias="?"), 9)]
)
def test_a_fair_share(holder, held):
    assert allocations.wrong_share(holder, held) == ""


def test_an_unfair_share():
    assert "holds 2 devices of this host and its flavor asks for 1" in allocations.wrong_share(
        server(), 2
    )
