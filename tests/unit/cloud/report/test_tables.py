# SPDX-License-Identifier: Apache-2.0
"""Figures, bars and tables of the page."""

import dataclasses

import pytest
from hypothesis import given, settings

from nova_gpu_passthrough.cloud.fit.capacity import FlavorCapacity
from nova_gpu_passthrough.cloud.report import gpu_counts, tables
from nova_gpu_passthrough.cloud.report.formatting import DisplayState
from nova_gpu_passthrough.cloud.view.model import Resource
from nova_gpu_passthrough.cloud.view.owners import Owners
from nova_gpu_passthrough.nova_rules.refusal import Constraint, Refusal, Stage
from tests.unit.cloud.report import fleets, strategies


@pytest.fixture(scope="module")
def four():
    return fleets.four()


def test_figures_of_a_fleet(four):
    found = {figure.name: figure.number for figure in tables.figures(four)}
    assert found == {
        "GPUs": 20,
        "free and usable": 4,
        "free, but stranded": 1,
        "free, but host out of service": 3,
        "in use": 9,
        "reserved": 1,
        "stuck": 1,
        "missing": 1,
        "hosts, 1 out of service": 4,
        "servers with GPUs": 5,
    }
    bad = [figure.name for figure in tables.figures(four) if figure.bad]
    assert bad == [
        "free, but stranded",
        "free, but host out of service",
        "reserved",
        "stuck",
        "missing",
        "hosts, 1 out of service",
    ]


def test_no_figure_of_an_empty_host_is_bad():
    figures = list(tables.figures(fleets.one()))
    assert not any(figure.bad for figure in figures)
    assert [(figure.name, figure.number) for figure in figures][:3] == [
        ("GPUs", 8),
        ("free", 8),
        ("free, but stranded", 0),
    ]


def test_gpus_of_a_disabled_host_are_free_and_not_usable():
    cloud_view = fleets.view(fleets.l40s("h", enabled=False))
    found = fleets.snapshot(cloud_view, ())
    numbers = {figure.name: figure.number for figure in tables.figures(found)}
    assert numbers["free and usable"] == 0
    assert numbers["free, but host out of service"] == 4
    (bar,) = tables.model_bars(found)
    assert bar.number == "0 of 4 usable (4 free)"
    assert bar.text == "4 free, but host out of service"
    assert {row.state for row in tables.gpus(found)} == {"free, but host out of service"}


def test_a_bar_for_each_model(four):
    h100, l40s = tables.model_bars(four)
    assert (h100.model, h100.number) == ("H100-SXM", "4 of 16 usable (5 free)")
    assert h100.text == ("4 free, 1 free, but stranded, 8 in use, 1 reserved, 1 stuck, 1 missing")
    assert (l40s.model, l40s.number) == ("L40S", "0 of 4 usable (3 free)")
    (bar,) = tables.model_bars(fleets.one())
    assert bar.number == "8 of 8 free"


@settings(max_examples=30)
@given(strategies.snapshots())
def test_segments_fill_their_bar_without_gaps(snapshot):
    for bar in tables.model_bars(snapshot):
        end = 0.0
        for segment in bar.segments:
            assert segment.start == pytest.approx(end, abs=0.01)
            end = segment.start + segment.length
        assert end == pytest.approx(100, abs=0.01)
        assert sum(segment.count for segment in bar.segments) == bar.counts.total


def test_problems_are_hosts_and_devices_with_notes(four):
    found = [(row.host, row.what, row.state) for row in tables.problems(four)]
    assert found == [
        ("gpu02", "0000:23:00.0 H100-SXM", "reserved"),
        ("gpu02", "0000:25:00.0 H100-SXM", "stuck"),
        ("gpu02", "0000:26:00.0 H100-SXM", "missing"),
        ("gpu03", "host", "disabled"),
    ]
    assert [row.note for row in tables.problems(four)][-1] == "new fans on Friday"
    assert all(row.note for row in tables.problems(four))


def test_companions_and_notes_are_problems_too():
    host = fleets.l40s("h")
    audio = dataclasses.replace(
        host.devices[0], address="0000:20:00.1", model=None, state=fleets.STUCK, note="who knows"
    )
    noted = dataclasses.replace(host.devices[1], note="has 2 and requests 1")
    cloud_view = fleets.view(dataclasses.replace(host, devices=(audio, noted)))
    found = [
        (r.what, r.display_state)
        for r in tables.problems(fleets.Snapshot(cloud_view, fleets.capacity(cloud_view)))
    ]
    assert found == [
        ("0000:20:00.1 CUSTOM_PCI_L40S", DisplayState.STUCK),
        ("0000:21:00.0 L40S", DisplayState.FREE),
    ]


def test_only_servers_that_request_devices_are_waiting():
    cloud_view = fleets.view(
        servers_without_host=(
            fleets.server(1, 8, None),
            fleets.server(2, 0, None),
            fleets.server(3, 1, None),
        )
    )
    found = tables.waiting(
        fleets.Snapshot(cloud_view, fleets.capacity(cloud_view), Owners({"p1": "research"}))
    )
    assert [(row.server.name, row.project) for row in found] == [
        ("train-1", "research"),
        ("train-3", "research"),
    ]


def test_servers_that_do_not_run_are_first():
    ten, two = fleets.server(10), fleets.server(2, updated="", task_state="powering-off")
    off = fleets.server(11, status="SHUTOFF", updated="2026-02-28T12:30:00Z")
    servers = (ten, two, off)
    gpus = [
        fleets.gpu("h", number, "X", fleets.IN_USE, 0, each)
        for number, each in enumerate((ten, two, off, off))
    ]
    snapshot = dataclasses.replace(fleets.four(), view=fleets.view(fleets.host("h", gpus, servers)))
    found = list(tables.servers(snapshot))
    assert [(row.server.name, row.status, row.server.is_idle, row.gpus) for row in found] == [
        ("train-11", "SHUTOFF", True, 2),
        ("train-2", "ACTIVE (powering-off)", False, 1),
        ("train-10", "ACTIVE", False, 1),
    ]
    first, second, _ = found
    assert (first.project, first.user) == ("research", "alice")
    assert (first.updated.age, first.created.age) == ("24h", "42d")
    assert first.updated.time == "2026-02-28T12:30:00Z"
    assert (second.updated.time, second.updated.age) == ("", "")


def test_waiting_servers_have_the_reason_of_their_error():
    failed = fleets.server(1, 8, None, status="ERROR", fault="No valid host was found.")
    snapshot = dataclasses.replace(fleets.four(), view=fleets.view(servers_without_host=(failed,)))
    (row,) = tables.waiting(snapshot)
    assert (row.status, row.server.fault, row.gpus) == ("ERROR", "No valid host was found.", 0)


def test_failure_domains_with_what_is_free_in_them():
    four = fleets.four()
    places = ({"rack": "r10", "room": "a"}, {"rack": "r9", "room": "a"}, {"rack": "r9"}, {})
    hosts = tuple(
        dataclasses.replace(host, domains=domains)
        for host, domains in zip(four.view.hosts, places, strict=True)
    )
    found = list(
        tables.domains(dataclasses.replace(four, view=dataclasses.replace(four.view, hosts=hosts)))
    )
    assert [(row.level, row.name, row.hosts, row.out_of_service) for row in found] == [
        ("rack", "r9", 2, 1),
        ("rack", "r10", 1, 0),
        ("room", "a", 2, 0),
    ]
    # A stuck GPU has no server.
    assert [row.servers for row in found] == [2, 3, 4]
    assert [(row.counts.total, row.counts.free, row.counts.usable) for row in found] == [
        (12, 7, 4),
        (8, 1, 0),
        (16, 5, 4),
    ]
    assert list(tables.domains(four)) == []


def test_rows_of_gpus(four):
    rows = list(tables.gpus(four))
    assert [row.gpu.host for row in rows] == ["gpu01"] * 8 + ["gpu02"] * 8 + ["gpu03"] * 4
    first, stranded = rows[0], rows[3]
    assert (first.numa_node, first.link_group, first.state) == ("0", "nvs0/q0/p0", "in use")
    assert (first.servers, first.projects) == ("train-1", "research")
    assert (stranded.state, stranded.servers) == ("free, but stranded", "")


def test_rows_of_vfs_show_how_many_are_free():
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
    cloud_view = fleets.view(fleets.host("h", [gpu], servers))
    (row,) = tables.gpus(fleets.Snapshot(cloud_view, fleets.capacity(cloud_view)))
    assert (row.numa_node, row.state) == ("", "free, 5 of 8 free")
    assert (row.servers, row.projects) == ("train-1, train-2, 5f0c", "p1")


def test_the_limit_is_that_of_most_hosts_with_an_example():
    def refused(cause, detail):
        return Refusal(cause, detail, Stage.PLACEMENT)

    flavor = FlavorCapacity(
        "f",
        1,
        "X",
        1,
        {"a": 0, "b": 0, "c": 0, "d": 0},
        {
            "a": refused(Constraint.HOST, "down"),
            "b": refused(Constraint.VCPUS, "3 of 15"),
            "c": refused(Constraint.VCPUS, "4 of 15"),
            "d": refused(Constraint.VCPUS, "5 of 15"),
        },
    )
    assert tables.limit(flavor) == "b: 3 of 15 (and 2 more hosts)"
    # Hosts without such GPUs do not count if others have them.
    some = dataclasses.replace(flavor, hosts_with_gpus=frozenset("ab"))
    assert tables.limit(some) == "a: down"
    assert set(tables.refusals(some)) == {"a", "b"}
    assert tables.limit(dataclasses.replace(flavor, limits={})) == ""


def _with_vfs(count):
    """A snapshot with one GPU: five of its eight VFs are free, and ``count`` of these stranded."""
    gpu = fleets.gpu("h", 0, "VF", fleets.FREE, 0, resource=Resource(8, used=3))
    cloud_view = fleets.view(fleets.host("h", [gpu]))
    snapshot = fleets.Snapshot(
        cloud_view, fleets.capacity(cloud_view, lost=[fleets.stranded(gpu)] * count)
    )
    return snapshot, gpu


def test_stranded_vfs_are_counted_one_by_one_and_are_one_row():
    snapshot, gpu = _with_vfs(2)
    counts = gpu_counts.count(snapshot, snapshot.view.hosts)
    found = tables.count_display_states(counts)
    assert (found[DisplayState.FREE], found[DisplayState.STRANDED], found[DisplayState.IN_USE]) == (
        3,
        2,
        3,
    )
    assert not snapshot.is_stranded(gpu)
    (row,) = tables.stranded(snapshot)
    assert row.address == "0000:20:00.0 (2 VFs)"
    snapshot, gpu = _with_vfs(5)
    assert snapshot.is_stranded(gpu)
    assert gpu_counts.count(snapshot, snapshot.view.hosts).usable == 0


def test_rows_of_stranded_gpus(four):
    (row,) = tables.stranded(four)
    assert (row.gpu.host, row.address, row.gpu.constraint) == (
        "gpu01",
        "0000:23:00.0",
        Constraint.VCPUS,
    )


def test_gpus_of_hosts_out_of_service_are_not_stranded():
    host = fleets.l40s("h", enabled=False)
    lost = [fleets.stranded(gpu, Constraint.HOST, "disabled") for gpu in host.gpus]
    snapshot = fleets.snapshot(fleets.view(host), (), lost)
    assert list(tables.stranded(snapshot)) == []


def test_notes_have_no_duplicates():
    snapshot = fleets.four()
    capacity = dataclasses.replace(snapshot.capacity, notes=(*snapshot.view.notes, "another"))
    found = tables.notes(dataclasses.replace(snapshot, capacity=capacity))
    assert found == [*snapshot.view.notes, "another", "gpu.l40s.1: hw:pmem is not modelled"]


def test_the_most_servers_of_any_flavor():
    assert tables.most_servers(fleets.four().capacity.flavors) == 4
    assert tables.most_servers(()) == 1
