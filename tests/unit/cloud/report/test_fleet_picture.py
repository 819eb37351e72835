# SPDX-License-Identifier: Apache-2.0
"""Groups, hosts, NUMA nodes and GPU tiles of the page."""

import dataclasses

import pytest
from hypothesis import given, settings

from nova_gpu_passthrough.cloud.report import fleet_picture
from nova_gpu_passthrough.cloud.report.formatting import DisplayState
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.view.model import Resource
from nova_gpu_passthrough.cloud.view.owners import Owners
from tests.unit.cloud.report import fleets, strategies
from tests.unit.cloud.report.fleets import FREE, IN_USE


def _snapshot(*hosts):
    cloud_view = fleets.view(*hosts)
    return Snapshot(cloud_view, fleets.capacity(cloud_view), Owners({"p1": "research"}))


def _cards(snapshot):
    groups = fleet_picture.groups(snapshot)
    return [card for group in groups for rack in group.racks for card in rack.hosts]


def _tiles(card):
    return [
        tile
        for node in card.nodes
        for link in node.links
        for cluster in link.clusters
        for tile in cluster.tiles
    ]


@pytest.fixture(scope="module")
def four():
    return {card.name: card for card in _cards(fleets.four())}


def test_groups_with_gpus_are_first():
    groups = fleet_picture.groups(fleets.four())
    assert [group.name for group in groups] == ["h100", "l40s", "cpu"]
    assert [[card.name for rack in group.racks for card in rack.hosts] for group in groups] == [
        ["gpu01", "gpu02"],
        ["gpu03"],
        ["cpu01"],
    ]
    assert {rack.name for group in groups for rack in group.racks} == {""}
    assert groups[0].text == (
        "2 hosts, 16 GPUs, 5 free (4 usable), 8 in use, 1 reserved, 1 stuck, 1 missing, zone nova"
    )
    assert groups[2].text == "1 host, zone nova"


def test_without_a_fleet_file_hosts_are_in_no_group():
    (group,) = fleet_picture.groups(fleets.one())
    assert group.name == "Hosts"
    first, second = fleet_picture.groups(_snapshot(fleets.hgx("a", group=None), fleets.hgx("b")))
    assert (first.name, second.name) == ("h100", "Hosts without a group")


def test_tiles_have_the_state_of_their_gpus(four):
    assert [tile.display_state for tile in _tiles(four["gpu01"])][:4] == [
        DisplayState.IN_USE,
        DisplayState.IN_USE,
        DisplayState.IN_USE,
        DisplayState.STRANDED,
    ]
    assert [tile.display_state for tile in _tiles(four["gpu02"])][4:] == [
        DisplayState.FREE,
        DisplayState.STUCK,
        DisplayState.MISSING,
        DisplayState.FREE,
    ]


def test_gpus_of_one_server_have_the_same_letter(four):
    card = four["gpu01"]
    assert "".join(tile.mark or "-" for tile in _tiles(card)) == "AAB-CCCC"
    assert [(s.mark, s.name, s.project, s.gpus) for s in card.servers] == [
        ("A", "train-1", "research", 2),
        ("B", "train-2", "research", 1),
        ("C", "train-3", "research", 4),
    ]


def test_gpus_are_grouped_by_node_link_group_and_switch(four):
    first, second = four["gpu01"].nodes
    assert (first.name, second.name) == ("NUMA node 0", "NUMA node 1")
    (link,) = first.links
    assert link.name == "nvs0/q0"
    assert [len(cluster.tiles) for cluster in link.clusters] == [2, 2]
    assert link.clusters[1].title == "behind switch 0000:11:00.0, link group nvs0/q0/p1"


def test_gpus_without_links_have_no_link_group(four):
    for node in four["gpu03"].nodes:
        (link,) = node.links
        assert link.name == ""
        assert link.clusters[0].title == ""


def test_titles_contain_server_project_and_note(four):
    titles = [tile.title for tile in _tiles(four["gpu01"])]
    assert titles[0] == (
        "0000:20:00.0 H100-SXM: in use by train-1 of research; behind switch 0000:10:00.0; "
        "link group nvs0/q0/p0"
    )
    assert "free, but stranded" in titles[3]
    assert _tiles(four["gpu02"])[6].title.endswith("device_spec of its nova.conf")


def test_summaries_describe_the_card(four):
    assert four["gpu01"].summary == "Host gpu01; 8 × H100-SXM; 1 free (0 usable), 7 in use"
    assert four["gpu03"].summary == (
        "Host gpu03; 4 × L40S; 3 free (0 usable), 1 in use; disabled: new fans on Friday"
    )
    assert four["cpu01"].summary == "Host cpu01; no GPUs"


def test_gpus_without_known_node_are_last():
    host = fleets.hgx("h")
    devices = (dataclasses.replace(host.devices[0], numa_node=None), *host.devices[1:])
    (card,) = _cards(_snapshot(dataclasses.replace(host, devices=devices)))
    assert [node.name for node in card.nodes] == [
        "NUMA node 0",
        "NUMA node 1",
        "NUMA node not known",
    ]
    assert card.nodes[2].bars == ()


def test_without_an_inventory_the_host_has_bars():
    bare = dataclasses.replace(fleets.hgx("h"), numa=())
    (card,) = _cards(_snapshot(bare))
    assert not card.has_node_bars
    assert len(card.nodes) == 2
    assert card.bars


def test_a_consumer_that_is_not_a_server_is_shown_by_its_id():
    host = fleets.hgx("h", (IN_USE,) + (FREE,) * 7)
    device = dataclasses.replace(host.devices[0], consumers=("5f0c",))
    host = dataclasses.replace(host, devices=(device, *host.devices[1:]))
    (card,) = _cards(_snapshot(host))
    assert card.servers == (fleet_picture.CardServer("A", "5f0c", "", 1),)
    assert "in use by 5f0c;" in _tiles(card)[0].title


def test_a_stuck_gpu_has_no_letter_over_its_sign():
    host = fleets.hgx("h", (IN_USE, fleets.STUCK) + (FREE,) * 6, (1,))
    stuck = dataclasses.replace(host.devices[1], consumers=("5f0c",))
    host = dataclasses.replace(host, devices=(host.devices[0], stuck, *host.devices[2:]))
    (card,) = _cards(_snapshot(host))
    assert [tile.mark for tile in _tiles(card)[:2]] == ["A", ""]
    assert [(server.mark, server.name, server.stuck) for server in card.servers] == [
        ("A", "train-1", False),
        ("", "5f0c", True),
    ]


def test_a_server_that_does_not_run_is_marked():
    host = fleets.hgx("h", (IN_USE,) * 2 + (FREE,) * 6, (1, 1))
    off = dataclasses.replace(host.servers[0], status="SHUTOFF", name="off")
    host = dataclasses.replace(host, servers=(off, host.servers[1]))
    (card,) = _cards(_snapshot(host))
    assert [(server.status, server.idle) for server in card.servers] == [
        ("SHUTOFF", True),
        ("", False),
    ]
    assert "in use by off (SHUTOFF) of research" in _tiles(card)[0].title


@pytest.mark.parametrize("change", [{"enabled": False}, {"up": False}, {"known": False}])
def test_free_gpus_of_a_host_that_takes_no_servers_are_marked(change):
    gpu = fleets.gpu("h", 0, "VF", FREE, 0, resource=Resource(8, used=3))
    (card,) = _cards(_snapshot(fleets.host("h", [gpu], **change)))
    (tile,) = _tiles(card)
    assert (tile.display_state, tile.mark) == (DisplayState.UNAVAILABLE, "")
    assert card.status


def test_hosts_of_a_group_are_in_racks():
    places = {
        "h1": {"rack": "r10", "room": "a"},
        "h2": {"rack": "r9"},
        "h3": {},
        "h4": {"rack": "r9"},
    }
    hosts = [fleets.hgx(name, domains=domains) for name, domains in places.items()]
    (group,) = fleet_picture.groups(_snapshot(*hosts))
    assert [(rack.name, rack.text) for rack in group.racks] == [
        ("Rack r9", "2 hosts, 16 free"),
        ("Rack r10", "1 host, 8 free"),
        ("No rack", "1 host, 8 free"),
    ]
    assert [[card.name for card in rack.hosts] for rack in group.racks] == [
        ["h2", "h4"],
        ["h1"],
        ["h3"],
    ]
    card = group.racks[1].hosts[0]
    assert card.remarks == "room a"
    assert card.summary == "Host h1; 8 × H100-SXM; 8 free; rack r10, room a"


@pytest.mark.parametrize(
    ("ids", "public", "text"),
    [
        ("p1,p9", False, "only for p9, research"),
        ("none", False, "for no project"),
        ("p1", True, "only for some projects"),
    ],
)
def test_a_host_says_for_which_projects_it_is(ids, public, text):
    host = fleets.hgx("h", aggregates={"a": {"filter_tenant_id": ids}})
    (card,) = _cards(dataclasses.replace(_snapshot(host), public=public))
    assert card.remarks == text
    assert text in card.summary


def test_vfs_of_one_gpu_are_one_tile_with_the_free_number():
    gpu = fleets.gpu("h", 0, "MI300X-VF", FREE, 0, resource=Resource(8, used=3))
    (card,) = _cards(_snapshot(fleets.host("h", [gpu])))
    (tile,) = _tiles(card)
    assert tile.mark == "5/8"
    assert "5 of 8 free" in tile.title
    assert card.gpus == "8 × MI300X-VF"


def test_more_servers_than_letters():
    servers = [fleets.server(number) for number in range(60)]
    gpus = [fleets.gpu("h", n, "X", IN_USE, 0, each) for n, each in enumerate(servers)]
    (card,) = _cards(_snapshot(fleets.host("h", gpus, servers)))
    marks = [tile.mark for tile in _tiles(card)]
    assert len(set(marks[:52])) == 52
    assert marks[52:] == [""] * 8


@settings(max_examples=30)
@given(strategies.snapshots())
def test_every_host_and_gpu_is_drawn_once(snapshot):
    cards = _cards(snapshot)
    assert sorted(card.name for card in cards) == sorted(h.name for h in snapshot.view.hosts)
    for card in cards:
        (host,) = (host for host in snapshot.view.hosts if host.name == card.name)
        titles = sorted(tile.title.split(" ")[0] for tile in _tiles(card))
        assert titles == sorted(gpu.address for gpu in host.gpus)
        for bar in (*card.bars, *(bar for node in card.nodes for bar in node.bars)):
            assert 0 <= bar.percent <= 100
