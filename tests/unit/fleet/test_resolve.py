# SPDX-License-Identifier: Apache-2.0
"""Resolve a fleet file with its inventories."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet import resolve as fleet_resolve
from nova_gpu_passthrough.fleet import store as fleet_store
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.inventory import store
from tests.unit.generate import builders

HEAD = "schema: nova-gpu-passthrough/fleet\nversion: 1\nname: f\n"


@pytest.fixture
def resolve(tmp_path):
    """Resolve a fleet file that is next to inventories; return the error message if it fails."""
    for name, found in {
        "hgx/a.yaml": builders.hgx("a"),
        "hgx/b.yaml": builders.hgx("b"),
        "l40s.yaml": builders.l40s("c"),
    }.items():
        path = tmp_path / "inventories" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(store.dump(found, "nova-gpu host audit"), encoding="utf-8")

    def resolve_text(text):
        path = tmp_path / "fleet.yaml"
        path.write_text(HEAD + text, encoding="utf-8")
        try:
            return fleet_resolve.resolve(fleet_store.load(path))
        except UserError as error:
            return str(error).replace(f"{tmp_path}/", "")

    return resolve_text


GROUPS = """\
groups:
  - name: hgx
    inventories: [inventories/hgx/*.yaml]
  - name: l40s
    inventories: ["inventories/l*.yaml"]
"""


def test_groups_have_the_hosts_that_their_patterns_match(resolve):
    found = resolve(GROUPS)
    assert {host: group.name for host, group in found.groups.items()} == {
        "a": "hgx",
        "b": "hgx",
        "c": "l40s",
    }
    assert [offer.host for offer in found.offers] == ["a", "b", "c"]
    assert sorted(alias.name for alias in found.aliases.values()) == [
        "h100-sxm",
        "l40s",
        "l40s-audio",
    ]
    assert any("NVSwitches stay with the host" in str(note) for note in found.notes)


def test_hosts_of_all_modes_have_failure_domains(resolve):
    found = resolve(
        GROUPS
        + "    mode: vgpu\nhosts: [{names: [a], rack: r1}, {names: ['*'], domains: {room: x}}]\n"
    )
    assert found.domains == {
        "a": {"rack": "r1", "room": "x"},
        "b": {"room": "x"},
        "c": {"room": "x"},
    }


def test_a_file_that_two_patterns_match_is_read_once(resolve):
    found = resolve(
        "groups: [{name: g, inventories: ['inventories/**/a.yaml', 'inventories/hgx/*.yaml']}]\n"
    )
    assert sorted(found.groups) == ["a", "b"]


def test_a_host_in_two_groups_is_an_error(resolve):
    assert resolve(GROUPS + "  - {name: x, inventories: [inventories/hgx/b.yaml]}\n") == (
        "fleet.yaml:9: key groups[2].inventories[0]: inventories/hgx/b.yaml is of host b, and "
        "group hgx has another inventory of this host; name each host once"
    )


def test_a_pattern_without_a_match_is_an_error(resolve):
    message = resolve("groups:\n  - name: g\n    inventories:\n      - nowhere/*.yaml\n")
    assert message.startswith(
        "fleet.yaml:7: key groups[0].inventories[0]: no file matches nowhere/*.yaml in "
    )


def test_an_invalid_inventory_is_reported(resolve):
    message = resolve("groups: [{name: g, inventories: [fleet.yaml]}]\n")
    assert "expected an inventory of version 1" in message


@pytest.mark.parametrize("mode", ["vgpu", "mig"])
def test_hosts_of_other_modes_offer_no_devices(resolve, mode):
    found = resolve(GROUPS + f"    mode: {mode}\n")
    assert [offer.host for offer in found.offers] == ["a", "b"]
    assert sorted(found.inventories) == ["a", "b", "c"]
    assert [alias.name for alias in found.aliases.values()] == ["h100-sxm"]


def test_settings_are_read(resolve):
    found = resolve(
        GROUPS
        + """\
settings:
  release: 2025.2
  exclude: [c/0000:41:00.0]
  nics: ["0000:40:00.0"]
  numa_policy: preferred
  enabled_filters: [ComputeFilter]
  host_cores: 0
  hugepages: true
"""
    )
    assert found.settings.release.nova == 32
    assert found.settings.enabled_filters == ("ComputeFilter",)
    assert found.settings.host_cores == 0
    assert found.settings.hugepages
    assert len(found.offers[2].gpus) == 3
    assert "nic-15b3-1021" in {alias.name for alias in found.aliases.values()}
    assert {alias.numa_policy for alias in found.aliases.values()} == {"preferred"}


def test_settings_have_defaults(resolve):
    assert resolve(GROUPS).settings == Settings()


@pytest.mark.parametrize(
    "setting, message",
    [
        ("exclude: ['0000:99:00.0']", "fleet.yaml:9: key settings.exclude: 0000:99:00.0: there is"),
        ("nics: [c/0000:40:00.0]", "fleet.yaml:9: key settings.nics: c/0000:40:00.0: there is no"),
    ],
)
def test_an_address_that_no_host_has_is_reported(resolve, setting, message):
    assert resolve(GROUPS + f"settings: {{{setting}}}\n").startswith(message)


def test_devices_of_hosts_of_other_modes_cannot_be_named(resolve):
    text = "groups: [{name: g, inventories: [inventories/l40s.yaml], mode: mig}]\n"
    assert resolve(text).offers == ()
    assert resolve(text + "settings: {exclude: ['0000:41:00.0']}\n") == (
        "fleet.yaml:5: key settings.exclude: there is no group of mode passthrough"
    )


def test_alias_rules_change_aliases(resolve):
    found = resolve(
        GROUPS
        + """\
aliases:
  - {model: H100-SXM, name: h100, resource_class: PGPU, numa_policy: socket}
  - {model: L40S, kind: audio, name: sound, resource_class: l40s-sound}
"""
    )
    made = {alias.name: alias for alias in found.aliases.values()}
    assert list(made) == ["h100", "l40s", "sound"]
    assert made["h100"].resource_class == "PGPU"
    assert made["h100"].numa_policy == "socket"
    assert made["sound"].resource_class == "CUSTOM_L40S_SOUND"
    assert made["sound"].numa_policy == "legacy"


@pytest.mark.parametrize(
    "more, message",
    [
        (
            "aliases: [{model: H200}]\n",
            (
                "fleet.yaml:9: key aliases[0].model: no host of mode passthrough has a device H200 "
                "of kind gpu for servers, expected one of: H100-SXM, L40S"
            ),
        ),
        (
            "aliases: [{model: H100-SXM, kind: audio}]\n",
            (
                "key aliases[0].model: no host of mode passthrough has a device H100-SXM of kind "
                "audio for servers, expected one of: L40S"
            ),
        ),
        (
            "aliases:\n  - model: L40S\n    device_type: type-VF\n",
            (
                "fleet.yaml:11: key aliases[0].device_type: no device L40S is type-VF, expected "
                "one of: type-PF"
            ),
        ),
        (
            "aliases: [{model: H100-SXM, name: l40s}]\n",
            "models H100-SXM and L40S would both be l40s",
        ),
        (
            "flavors: [{model: A100}]\n",
            (
                "fleet.yaml:9: key flavors[0].model: no host of mode passthrough has a GPU of "
                "model A100 for servers, expected one of: H100-SXM, L40S"
            ),
        ),
        (
            "flavors: [{model: H100-SXM, groups: [l40s]}]\n",
            (
                "key flavors[0].model: no host in l40s has a GPU of model H100-SXM for servers, "
                "expected one of: L40S"
            ),
        ),
        (
            (
                "fixed_flavors:\n  - name: x\n    vcpus: 1\n    ram_mib: 1\n    extra_specs:\n"
                "      pci_passthrough:alias: h200:1\n"
            ),
            (
                "fleet.yaml:14: key fixed_flavors[0].extra_specs.pci_passthrough:alias: there is "
                "no alias h200, expected one of: h100-sxm, l40s, l40s-audio"
            ),
        ),
        (
            (
                "fixed_flavors: [{name: x, vcpus: 1, ram_mib: 1, "
                "extra_specs: {'pci_passthrough:alias': l40s}}]\n"
            ),
            "pci_passthrough:alias: 'l40s' is not <alias>:<count>",
        ),
        (
            "quotas: {default: {h200: 1}}\n",
            (
                "fleet.yaml:9: key quotas.default.h200: there is no alias h200, expected one of: "
                "servers, vcpus, ram_mib, disk_gib, h100-sxm, l40s, l40s-audio"
            ),
        ),
        (
            "projects:\n  - name: p\n    quotas:\n      VGPU: 1\n",
            "fleet.yaml:12: key projects[0].quotas.VGPU: there is no alias VGPU",
        ),
    ],
)
def test_names_that_do_not_exist_are_reported_with_line_and_key(resolve, more, message):
    assert message in resolve(GROUPS + more)


def test_quotas_may_name_resource_classes_of_fixed_flavors(resolve):
    found = resolve(
        GROUPS
        + """\
fixed_flavors:
  - {name: v, vcpus: 1, ram_mib: 1, extra_specs: {"resources:VGPU": 1}}
projects: [{name: p, quotas: {VGPU: 2}}]
"""
    )
    assert found.file.projects[0].quotas == {"VGPU": 2}
