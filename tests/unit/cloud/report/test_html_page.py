# SPDX-License-Identifier: Apache-2.0
"""The rendered page."""

import dataclasses
import re

import pytest
from hypothesis import given, settings

from nova_gpu_passthrough.cloud.report import fleet_status, html_page
from nova_gpu_passthrough.cloud.report.fleet_status import QuotaStatus
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.report.status_reading import StatusReading
from nova_gpu_passthrough.cloud.view.owners import Owners
from tests.unit.cloud.report import fleets, strategies
from tests.unit.cloud.report.markup import Page

EVIL = "</title></svg></bdi><script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def four():
    return Page(html_page.render(fleets.four()))


def test_every_gpu_is_a_tile_with_a_title(four):
    assert len(four.of_class("svg", "gpu")) == 20
    assert all(tile["role"] == "img" for tile in four.of_class("svg", "gpu"))
    states = [tile["class"].split()[1] for tile in four.of_class("svg", "gpu")]
    assert {state: states.count(state) for state in set(states)} == {
        "free": 4,
        "stranded": 1,
        "unavailable": 3,
        "in-use": 9,
        "reserved": 1,
        "stuck": 1,
        "missing": 1,
    }
    assert "0000:25:00.0 H100-SXM: stuck" in "".join(four.texts["title"])


def test_every_used_symbol_is_defined(four):
    defined = {symbol["id"] for symbol in four.all("symbol")}
    used = {use["href"].removeprefix("#") for use in four.all("use")}
    assert used == defined


def test_every_host_has_a_card_and_every_picture_a_text(four):
    assert len(four.of_class("article", "host")) == 4
    assert all(card["aria-label"] for card in four.of_class("article", "host"))
    for picture in four.all("svg"):
        assert picture.get("role") == "img" or picture.get("aria-hidden") == "true"
    charts = four.of_class("svg", "shares")
    ids = {found["id"] for _, found in four.elements if found.get("id")}
    assert len(charts) == 2
    assert all(set(chart["aria-labelledby"].split()) <= ids for chart in charts)


def test_tables_have_captions_and_headings(four):
    tables = four.all("table")
    assert len(tables) == len(four.all("caption")) == 7
    assert all(head.get("scope") in ("col", "row") for head in four.all("th"))


def test_ids_are_unique(four):
    ids = [found["id"] for _, found in four.elements if found.get("id")]
    assert len(ids) == len(set(ids))


def test_no_external_resource_is_loaded(four):
    for tag, attributes in four.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "action", "data", "style"):
                assert value.startswith("#")
    policy = four.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    style = "".join(four.texts["style"])
    assert "@import" not in style
    # url() refers only to definitions in the page.
    assert set(re.findall(r"url\(([^)]*)\)", style)) == {"#stripes"}


def test_the_first_line_declares_the_encoding():
    """The seal is inserted after it, and browsers search only the first 1024 bytes."""
    first = html_page.render(fleets.one()).split("\n")[0]
    assert first.startswith("<!DOCTYPE html>")
    assert '<meta charset="utf-8">' in first


def test_the_page_contains_the_data(four):
    text = " ".join(" ".join("".join(parts).split()) for parts in four.texts.values())
    for expected in (
        "paris-1",
        "prod RegionOne",
        "1 March 2026, 12:30 UTC",
        "disabled: new fans on Friday",
        "render <b>& co</b>",
        "gpu02: after 1 more: 2 GPUs are free on no NUMA node with 30 CPUs",
        "4 of 15 PCPU are free",
        "too-big",
        "hw:pmem is not modelled",
        "4 of 16 usable (5 free)",
        "0 of 4 usable (3 free)",
    ):
        assert expected in text


def test_commands_in_notes_are_marked_and_notes_escaped():
    snapshot = fleets.four()
    first, *others = snapshot.view.hosts
    note = "free <it> with `openstack x --resource A:reserved=0 & more`; or `wait"
    noted = dataclasses.replace(first.devices[0], note=note)
    first = dataclasses.replace(first, devices=(noted, *first.devices[1:]))
    view = dataclasses.replace(snapshot.view, hosts=(first, *others))
    text = html_page.render(dataclasses.replace(snapshot, view=view))
    found = Page(text)
    assert "openstack x --resource A:reserved=0 & more" in found.texts["code"]
    assert "<it>" not in text
    assert "`wait" in text


def test_racks_are_groups_and_failure_domains_a_table():
    snapshot = fleets.many(16, racks=True)
    for compact in (True, False):
        text = html_page.render(snapshot, compact)
        found = Page(text)
        racks = found.of_class("div", "rack")
        assert [rack["aria-label"] for rack in racks] == ["Rack r01", "Rack r02"]
        assert "GPUs by failure domain" in found.texts["caption"]
        assert "rack r02, room b" in " ".join(
            card["aria-label"] for card in found.of_class("article", "host")
        )
    assert "GPUs by failure domain" not in html_page.render(fleets.many(16))


def test_a_server_that_does_not_run_stands_out():
    snapshot = fleets.four()
    first, *others = snapshot.view.hosts
    off = dataclasses.replace(first.servers[0], status="SHUTOFF")
    first = dataclasses.replace(first, servers=(off, *first.servers[1:]))
    view = dataclasses.replace(snapshot.view, hosts=(first, *others))
    found = Page(html_page.render(dataclasses.replace(snapshot, view=view)))
    # In its host's card, and in the table.
    assert len(found.of_class("span", "idle")) == len(found.of_class("td", "idle")) == 1
    ages = [time["title"] for time in found.all("time") if "title" in time]
    assert "2026-02-26T12:30:00Z" in ages


def test_sections_without_content_are_left_out():
    found = Page(html_page.render(fleets.one()))
    headings = [text.strip() for text in found.texts["h2"]]
    assert headings == [
        "Summary",
        "Needs attention",
        "Hosts",
        "How many more servers fit",
        "Stranded GPUs",
        "All GPUs",
    ]
    assert "Nothing needs attention." in found.texts["p"]
    assert (
        "None: a server of some flavor can use every free GPU of the hosts in service."
        in found.texts["p"]
    )


def test_the_head_says_what_needs_attention_with_the_command_that_says_more(four):
    text = html_page.render(fleets.four())
    assert "1 host is disabled (gpu03: new fans on Friday)" in text
    assert '<td class="code">nova-gpu host list --long</td>' in text
    assert text.index('id="attention"') < text.index('id="fleet"')


def test_the_head_has_quotas_and_notes_of_the_status():
    found = fleets.one()
    quotas = (
        QuotaStatus("research <b>", "H100-SXM", 3, 8),
        QuotaStatus("free", "H100-SXM", 2, None),
        QuotaStatus("hidden", "H100-SXM", 1, None, limit_known=False),
    )
    status = dataclasses.replace(fleet_status.make(found), quotas=quotas)
    page = html_page.render(found, reading=StatusReading(status, ("limits are not shown",)))
    assert "research &lt;b&gt;" in page
    numbers = re.findall(r'<td class="number">(\w+)</td>', page[page.index('id="quotas"') :])
    assert numbers[:6] == ["3", "8", "2", "none", "1", "unknown"]
    assert "limits are not shown" in page


def test_the_public_page_has_no_status():
    page = html_page.render_public(fleets.four())
    assert "Needs attention" not in page
    assert "new fans on Friday" not in page


def test_an_empty_cloud_has_a_page():
    cloud_view = fleets.view()
    found = Page(html_page.render(Snapshot(cloud_view, fleets.capacity(cloud_view))))
    assert "There are no GPU hosts." in found.texts["p"]
    assert "The cloud has no GPU flavors." in found.texts["p"]


def test_without_a_fleet_file_it_does_not_claim_that_nothing_fits():
    cloud_view = fleets.view(fleets.hgx("h"))
    found = Page(html_page.render(Snapshot(cloud_view, fleets.capacity(cloud_view), counted=False)))
    text = " ".join(found.texts["p"])
    assert "Not known without a fleet file" in text
    assert "no GPU flavors" not in text
    assert "every free GPU" not in text


def test_many_hosts_are_drawn_small():
    few, many = (
        html_page.render(fleets.many(html_page.MOST_LARGE)),
        html_page.render(fleets.many(64)),
    )
    assert Page(few).of_class("section", "compact") == []
    found = Page(many)
    assert len(found.of_class("section", "compact")) == 1
    assert len(found.of_class("article", "host")) == 64
    assert len(found.of_class("svg", "gpu")) == 464
    assert found.of_class("ul", "servers") == []
    assert Page(html_page.render(fleets.many(64), compact=False)).of_class("ul", "servers")


def test_a_page_of_300_hosts_is_small_enough_to_mail():
    assert len(html_page.render(fleets.many(300)).encode()) < 3_000_000


def _renamed():
    """A cloud where everything with a name has a malicious one."""
    snapshot = fleets.four()
    hosts = [
        dataclasses.replace(
            host,
            group=EVIL,
            availability_zone=EVIL,
            disabled_reason=EVIL,
            servers=tuple(dataclasses.replace(s, name=EVIL) for s in host.servers),
            devices=tuple(
                dataclasses.replace(d, note=EVIL, model=EVIL, link_group=(EVIL,), switch=EVIL)
                for d in host.devices
            ),
        )
        for host in snapshot.view.hosts
    ]
    (server,) = snapshot.view.servers_without_host
    waiting = dataclasses.replace(server, name=EVIL, status=EVIL)
    capacity = dataclasses.replace(
        snapshot.capacity,
        flavors=tuple(
            dataclasses.replace(each, flavor=EVIL, model=EVIL) for each in snapshot.capacity.flavors
        ),
        stranded=tuple(
            dataclasses.replace(each, detail=EVIL, flavor=EVIL)
            for each in snapshot.capacity.stranded
        ),
        notes=(EVIL,),
    )
    cloud_view = dataclasses.replace(
        snapshot.view,
        hosts=tuple(hosts),
        servers_without_host=(waiting,),
        notes=(EVIL,),
    )
    return Snapshot(cloud_view, capacity, Owners({"p1": EVIL, "p2": EVIL}), EVIL, EVIL)


@pytest.mark.parametrize("compact", [True, False])
def test_names_are_escaped(compact):
    found = Page(html_page.render(_renamed(), compact))
    assert len(found.all("script")) == 1
    assert found.all("img") == []
    assert "".join(found.texts["script"]) == html_page._asset("filter.js")
    assert any(EVIL in text for text in found.texts["bdi"])
    assert any(EVIL in text for text in found.texts["title"])


def test_names_are_not_rendered_as_templates():
    snapshot = dataclasses.replace(fleets.one(), fleet="{{ 7 * 7 }}{% include 'x' %}")
    assert "{{ 7 * 7 }}" in html_page.render(snapshot)


@settings(max_examples=30, deadline=None)
@given(strategies.snapshots())
def test_any_cloud_has_a_page(snapshot):
    text = html_page.render(snapshot)
    text.encode()
    found = Page(text)
    gpus = [gpu for host in snapshot.view.hosts for gpu in host.gpus]
    assert len(found.of_class("svg", "gpu")) == len(gpus)
    assert len(found.of_class("article", "host")) == len(snapshot.view.hosts)
    assert len(found.all("script")) == 1
