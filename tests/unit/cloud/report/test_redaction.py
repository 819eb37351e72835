# SPDX-License-Identifier: Apache-2.0
"""What a page for everyone does not tell."""

import dataclasses

from hypothesis import given, settings

from nova_gpu_passthrough.cloud.report import gpu_counts, html_page, redaction, tables
from nova_gpu_passthrough.cloud.report.formatting import DisplayState
from nova_gpu_passthrough.cloud.view.owners import Owners
from tests.unit.cloud.report import fleets, strategies
from tests.unit.cloud.report.markup import Page

SECRET = "acme"
PLACES = {"rack": SECRET, "room": SECRET}


def _secret_fleet():
    """A cloud in which every text that can name a tenant does."""
    four = fleets.four()
    hosts = []
    for host in four.view.hosts:
        servers = tuple(
            dataclasses.replace(
                each,
                id=f"{SECRET}-{each.id}",
                name=SECRET,
                project_id=SECRET,
                user_id=SECRET,
                flavor=SECRET,
                host=SECRET,
                fault=SECRET,
                status="SHUTOFF",
                task_state=SECRET,
            )
            for each in host.servers
        )
        devices = tuple(
            dataclasses.replace(
                each,
                host=f"{SECRET}-{host.name}",
                resource_class=SECRET,
                consumers=tuple(f"{SECRET}-{key}" for key in each.consumers),
                note=SECRET,
                provider=SECRET,
                card=SECRET,
                traits=frozenset((SECRET,)),
            )
            for each in host.devices
        )
        hosts.append(
            dataclasses.replace(
                host,
                name=f"{SECRET}-{host.name}",
                servers=servers,
                devices=devices,
                disabled_reason=SECRET,
                group=SECRET,
                aggregates={SECRET: {SECRET: SECRET}},
                provider=SECRET,
                domains=PLACES,
                traits=frozenset((SECRET,)),
            )
        )
    flavors = [
        dataclasses.replace(
            each,
            # Those of one GPU are public.
            flavor=each.flavor if each.gpus == 1 else f"{SECRET}.{each.flavor}",
            notes=(SECRET,),
            by_host={f"{SECRET}-{host}": count for host, count in each.by_host.items()},
            limits={
                f"{SECRET}-{host}": refusal._replace(detail=SECRET)
                for host, refusal in each.limits.items()
            },
            hosts_with_gpus=frozenset(f"{SECRET}-{host}" for host in each.hosts_with_gpus),
        )
        for each in four.capacity.flavors
    ]
    lost = [
        dataclasses.replace(each, host=f"{SECRET}-{each.host}", detail=SECRET, flavor=SECRET)
        for each in four.capacity.stranded
    ]
    waiting = dataclasses.replace(four.view.servers_without_host[0], name=SECRET, fault=SECRET)
    view = dataclasses.replace(
        four.view, hosts=tuple(hosts), servers_without_host=(waiting,), notes=(SECRET,)
    )
    owners = Owners({SECRET: SECRET}, {SECRET: SECRET}, (SECRET,))
    return fleets.snapshot(view, flavors, lost, owners, "paris-1", SECRET, (SECRET,))


def test_a_public_page_contains_no_secret():
    snapshot = _secret_fleet()
    assert SECRET in html_page.render(snapshot)
    text = html_page.render_public(snapshot)
    assert SECRET not in text.lower()
    assert "00000000-0000-4000-8000" not in text


def test_for_whom_a_host_is_stays_secret():
    host = fleets.hgx("h", aggregates={SECRET: {"filter_tenant_id": SECRET}})
    snapshot = fleets.snapshot(fleets.view(host), ())
    assert SECRET in html_page.render(snapshot)
    text = html_page.render_public(snapshot)
    assert SECRET not in text
    assert "only for some projects" in text


def test_the_numbers_stay():
    snapshot = _secret_fleet()
    found = redaction.redact(snapshot)
    assert gpu_counts.by_model(found) == gpu_counts.by_model(snapshot)
    assert [(each.servers, each.hosts) for each in found.capacity.flavors] == [
        (each.servers, each.hosts) for each in snapshot.capacity.flavors
    ]
    assert [each.limited_by for each in found.capacity.flavors] == [
        each.limited_by for each in snapshot.capacity.flavors
    ]
    assert "servers with GPUs" not in {figure.name for figure in tables.figures(found)}
    page = Page(html_page.render_public(snapshot))
    states = [tile["class"].split()[1] for tile in page.of_class("svg", "gpu")]
    assert {state.symbol for state in DisplayState} == set(states)
    assert len(page.of_class("article", "away")) == 1


def test_hosts_are_numbered_in_groups_by_model():
    found = redaction.redact(fleets.four()).view.hosts
    assert [(host.name, host.group) for host in found] == [
        ("host 1", "H100-SXM"),
        ("host 2", "H100-SXM"),
        ("host 3", "L40S"),
    ]


def test_private_flavors_are_named_by_their_size():
    names = [each.flavor for each in redaction.redact(fleets.four()).capacity.flavors]
    assert names == [
        "gpu.h100.1",
        "2 × H100-SXM, 30 vCPUs, 240 GiB",
        "8 × H100-SXM, 120 vCPUs, 960 GiB",
        "gpu.l40s.1",
    ]


def test_equal_private_flavors_are_one():
    flavors = fleets.four().capacity.flavors
    twice = [flavors[1], dataclasses.replace(flavors[1], flavor="the same")]
    found = redaction.redact(fleets.snapshot(fleets.four().view, twice))
    assert len(found.capacity.flavors) == 1


def test_sections_for_operators_are_left_out():
    found = Page(html_page.render_public(_secret_fleet()))
    assert [text.strip() for text in found.texts["h2"]] == [
        "Summary",
        "How many more servers fit",
        "Hosts",
    ]
    assert "Example" not in found.texts["th"]


@settings(max_examples=30, deadline=None)
@given(strategies.snapshots())
def test_any_cloud_has_a_public_page(snapshot):
    counted = dataclasses.replace(
        snapshot,
        view=dataclasses.replace(
            snapshot.view, flavors=fleets.cloud_flavors(snapshot.capacity.flavors)
        ),
    )
    found = Page(html_page.render_public(counted))
    gpus = [gpu for host in snapshot.view.hosts for gpu in host.gpus]
    assert len(found.of_class("svg", "gpu")) == len(gpus)
