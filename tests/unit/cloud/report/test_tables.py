# SPDX-License-Identifier: Apache-2.0
"""The page's numbers and tables."""

import dataclasses

import pytest
from hypothesis import given, settings

from nova_gpu_passthrough.cloud.fit.capacity_model import FlavorCapacity
from nova_gpu_passthrough.cloud.report import tables
from nova_gpu_passthrough.cloud.report.page.words import Look
from nova_gpu_passthrough.cloud.view.model import Resource
from nova_gpu_passthrough.nova_rules.why_not import Cause, Refused, Stage
from tests.unit.cloud.report import fleets, strategies


@pytest.fixture(scope="module")
def four():
    return fleets.four()


def test_figures_of_a_fleet(four):
    found = {figure.name: figure.number for figure in tables.figures(four)}
    assert found == {
        "GPUs": 20,
        "free": 8,
        "of them stranded": 1,
        "in use": 9,
        "reserved": 1,
        "stuck": 1,
        "missing": 1,
        "hosts, 1 down or disabled": 4,
        "servers with GPUs": 5,
    }
    bad = [figure.name for figure in tables.figures(four) if figure.bad]
    assert bad == ["of them stranded", "reserved", "stuck", "missing", "hosts, 1 down or disabled"]


def test_nothing_is_bad_of_an_empty_host():
    assert not any(figure.bad for figure in tables.figures(fleets.one()))


def test_a_bar_for_each_model(four):
    h100, l40s = tables.model_bars(four)
    assert (h100.model, h100.total, h100.free) == ("H100-SXM", 16, 5)
    assert h100.text == ("4 free, 1 free, but stranded, 8 in use, 1 reserved, 1 stuck, 1 missing")
    assert (l40s.model, l40s.total, l40s.free) == ("L40S", 4, 3)


@settings(max_examples=30)
@given(strategies.snapshots())
def test_shares_fill_their_bar_without_gaps(snapshot):
    for bar in tables.model_bars(snapshot):
        end = 0.0
        for share in bar.shares:
            assert share.start == pytest.approx(end, abs=0.01)
            end = share.start + share.length
        assert end == pytest.approx(100, abs=0.01)
        assert sum(share.count for share in bar.shares) == bar.total


def test_troubles_are_hosts_and_devices_with_what_to_do(four):
    found = [(row.host, row.what, row.state) for row in tables.troubles(four)]
    assert found == [
        ("gpu02", "0000:23:00.0 H100-SXM", "reserved"),
        ("gpu02", "0000:25:00.0 H100-SXM", "stuck"),
        ("gpu02", "0000:26:00.0 H100-SXM", "missing"),
        ("gpu03", "host", "disabled"),
    ]
    assert [row.note for row in tables.troubles(four)][-1] == "new fans on Friday"
    assert all(row.note for row in tables.troubles(four))


def test_companions_and_remarks_are_troubles_too():
    host = fleets.l40s("h")
    audio = dataclasses.replace(
        host.devices[0], address="0000:20:00.1", model=None, state=fleets.STUCK, note="who knows"
    )
    remark = dataclasses.replace(host.devices[1], note="holds 2 and asks for 1")
    seen = fleets.view(dataclasses.replace(host, devices=(audio, remark)))
    found = [
        (r.what, r.look) for r in tables.troubles(fleets.Snapshot(seen, fleets.capacity(seen)))
    ]
    assert found == [("0000:20:00.1 CUSTOM_PCI_L40S", Look.STUCK), ("0000:21:00.0 L40S", Look.FREE)]


def test_only_servers_that_ask_for_devices_wait():
    seen = fleets.view(
        homeless=(fleets.server(1, 8, None), fleets.server(2, 0, None), fleets.server(3, 1, None))
    )
    found = tables.waiting(fleets.Snapshot(seen, fleets.capacity(seen), {"p1": "research"}))
    assert [(row.server.name, row.project) for row in found] == [
        ("train-1", "research"),
        ("train-3", "research"),
    ]


def test_rows_of_gpus(four):
    rows = list(tables.gpus(four))
    assert [row.gpu.host for row in rows] == ["gpu01"] * 8 + ["gpu02"] * 8 + ["gpu03"] * 4
    first, stranded = rows[0], rows[3]
    assert (first.numa_node, first.link_group, first.state) == ("0", "nvs0/q0/p0", "in use")
    assert (first.servers, first.projects) == ("train-1", "research")
    assert (stranded.state, stranded.servers) == ("free, but stranded", "")


def test_rows_of_vfs_tell_how_many_are_free():
    servers = fleets.server(1), fleets.server(2)
    gpu = fleets.gpu(
        "h",
        0,
        "VF",
        fleets.FREE,
        None,
        resource=Resource(8, used=3),
        consumers=(*(each.id for each in servers), "5f0c"),
    )
    seen = fleets.view(fleets.host("h", [gpu], servers))
    (row,) = tables.gpus(fleets.Snapshot(seen, fleets.capacity(seen)))
    assert (row.numa_node, row.state) == ("", "free, 5 of 8 free")
    assert (row.servers, row.projects) == ("train-1, train-2, 5f0c", "p1")


def test_a_limit_is_that_of_most_hosts_with_an_example():
    def refused(cause, detail):
        return Refused(cause, detail, Stage.PLACEMENT)

    flavor = FlavorCapacity(
        "f",
        1,
        "X",
        1,
        {"a": 0, "b": 0, "c": 0, "d": 0},
        {
            "a": refused(Cause.HOST, "down"),
            "b": refused(Cause.VCPUS, "3 of 15"),
            "c": refused(Cause.VCPUS, "4 of 15"),
            "d": refused(Cause.VCPUS, "5 of 15"),
        },
    )
    assert tables.limit(flavor) == "b: 3 of 15 (and 2 hosts more)"
    # Hosts that have no such GPUs do not matter where others have.
    some = dataclasses.replace(flavor, having=frozenset("ab"))
    assert tables.limit(some) == "a: down"
    assert set(tables.refusals(some)) == {"a", "b"}
    assert tables.limit(dataclasses.replace(flavor, limits={})) == ""


def _with_vfs(count):
    """Five of eight VFs are free, and so many of these stranded."""
    gpu = fleets.gpu("h", 0, "VF", fleets.FREE, 0, resource=Resource(8, used=3))
    seen = fleets.view(fleets.host("h", [gpu]))
    snapshot = fleets.Snapshot(seen, fleets.capacity(seen, lost=[fleets.stranded(gpu)] * count))
    return snapshot, gpu


def test_stranded_vfs_count_one_by_one_and_are_one_row():
    snapshot, gpu = _with_vfs(2)
    found = tables.looks(snapshot)
    assert (found[Look.FREE], found[Look.STRANDED], found[Look.IN_USE]) == (3, 2, 3)
    assert not snapshot.is_stranded(gpu)
    (row,) = tables.stranded(snapshot)
    assert row.address == "0000:20:00.0 (2 VFs)"
    snapshot, gpu = _with_vfs(5)
    assert snapshot.is_stranded(gpu)
    assert tables.looks(snapshot)[Look.FREE] == 0


def test_rows_of_stranded_gpus(four):
    (row,) = tables.stranded(four)
    assert (row.gpu.host, row.address, row.gpu.cause) == ("gpu01", "0000:23:00.0", Cause.VCPUS)


def test_notes_are_told_once():
    snapshot = fleets.four()
    capacity = dataclasses.replace(snapshot.capacity, notes=(*snapshot.view.notes, "another"))
    found = tables.notes(dataclasses.replace(snapshot, capacity=capacity))
    assert found == [*snapshot.view.notes, "another", "gpu.l40s.1: hw:pmem is not modelled"]


def test_the_longest_bar_is_of_the_most_servers():
    assert tables.longest(fleets.four().capacity.flavors) == 4
    assert tables.longest(()) == 1
