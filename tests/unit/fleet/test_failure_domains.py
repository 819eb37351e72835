# SPDX-License-Identifier: Apache-2.0
"""Racks and other failure domains of hosts."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet import failure_domains, store

HEAD = """\
schema: nova-gpu-passthrough/fleet
version: 1
name: f
groups: [{name: g, inventories: ["*.yaml"]}]
hosts:
"""
HOSTS = ("gpu01", "gpu02", "gpu03", "gpu11")


@pytest.fixture
def by_host(tmp_path):
    """Return the domains of HOSTS; the error message if that fails."""
    path = tmp_path / "fleet.yaml"

    def of_text(text):
        path.write_text(HEAD + text, encoding="utf-8")
        try:
            return failure_domains.by_host(store.load(path), HOSTS)
        except UserError as error:
            return str(error).removeprefix(f"{tmp_path}/")

    return of_text


def test_hosts_are_named_or_match_a_pattern(by_host):
    assert by_host('  - {names: [gpu01, "gpu1?"], rack: r1}\n  - {names: [gpu02], rack: r2}\n') == {
        "gpu01": {"rack": "r1"},
        "gpu02": {"rack": "r2"},
        "gpu11": {"rack": "r1"},
    }


def test_several_rules_add_levels_to_a_host(by_host):
    found = by_host(
        "  - {names: [gpu01, gpu02], rack: 12}\n"
        '  - {names: ["gpu*"], domains: {room: a}}\n'
        "  - {names: [gpu02], rack: 12, domains: {power: p2}}\n"
    )
    assert found == {
        "gpu01": {"rack": "12", "room": "a"},
        "gpu02": {"rack": "12", "room": "a", "power": "p2"},
        "gpu03": {"room": "a"},
        "gpu11": {"room": "a"},
    }
    assert failure_domains.levels(found.values()) == ["rack", "power", "room"]


def test_a_feed_may_serve_several_racks_and_a_rack_have_several_feeds(by_host):
    found = by_host(
        "  - {names: [gpu01], rack: r1, domains: {power: p1}}\n"
        "  - {names: [gpu02], rack: r1, domains: {power: p2}}\n"
        "  - {names: [gpu03], rack: r2, domains: {power: p1}}\n"
    )
    assert found["gpu02"] == {"rack": "r1", "power": "p2"}
    assert found["gpu03"] == {"rack": "r2", "power": "p1"}


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "  - names: [gpu01]\n    rack: r1\n  - names:\n      - gpu04\n    rack: r2\n",
            (
                "fleet.yaml:9: key hosts[1].names[0]: no host of the groups is called gpu04, "
                "expected names of hosts or patterns of them: gpu01, gpu02, gpu03, gpu11"
            ),
        ),
        (
            "  - {names: ['gpu0*'], rack: r1}\n  - names: [gpu02]\n    rack: r2\n",
            (
                "fleet.yaml:8: key hosts[1].rack: host gpu02 is in rack r2 here and in rack r1 by "
                "hosts[0]"
            ),
        ),
        (
            (
                "  - {names: [gpu01], domains: {power: p1}}\n"
                "  - {names: [gpu01], domains: {power: p2}}\n"
            ),
            (
                "key hosts[1].domains.power: host gpu01 is in power p2 here and in power p1 by "
                "hosts[0]"
            ),
        ),
        (
            (
                "  - {names: [gpu01], rack: r1, domains: {room: a}}\n"
                "  - {names: [gpu02], rack: r1, domains: {room: b}}\n"
            ),
            (
                "fleet.yaml:7: key hosts[1].rack: rack r1 is in room a with host gpu01 and in room "
                "b with host gpu02; give each rack a unique name, such as b-r1"
            ),
        ),
        (
            "  - {names: [gpu01], domains: {rack: r1}}\n",
            "key hosts[0].domains.rack: has a key of its own: set rack beside domains",
        ),
        (
            "  - {names: [gpu01], domains: {host: x}}\n",
            "key hosts[0].domains.host: is always a failure domain: each host is one",
        ),
        (
            "  - names: [gpu01]\n",
            "fleet.yaml:6: key hosts[0]: has only names, expected also rack or domains",
        ),
    ],
)
def test_contradictions_are_reported_with_line_and_key(by_host, text, message):
    found = by_host(text)
    assert message in found
    assert "\n" not in found
