# SPDX-License-Identifier: Apache-2.0
import configparser
import json
import re
import subprocess

import pytest

from nova_gpu_passthrough.fleet.offers import CONTROL
from nova_gpu_passthrough.fleet.releases import parse
from nova_gpu_passthrough.fleet.settings import ENABLED_FILTERS, DeploymentTarget, Settings
from nova_gpu_passthrough.generate import render
from nova_gpu_passthrough.generate.control_options import candidates, filters
from nova_gpu_passthrough.nova_rules.host_selection import SchedulerOptions
from tests.unit.generate import builders

HOSTS = (builders.hgx(), builders.l40s())
ALIASES = "etc/nova/nova.conf.d/90-gpu-passthrough-aliases.conf"


def generate(*hosts, **settings):
    generated = render.generate(hosts or HOSTS, Settings(**settings))
    texts = {(file.host, file.path): file.text for file in generated.files}
    return texts, [str(note) for note in generated.notes]


def body(text):
    return text.split("\n", 2)[2]


def values(text, name):
    return re.findall(rf"^{name} = (.*)$", text, re.MULTILINE)


def test_plain_files_of_control_plane_and_hosts():
    texts, _ = generate()
    assert [path for host, path in texts if host == CONTROL] == [
        "etc/gpu-passthrough/guests.yaml",
        "etc/gpu-passthrough/steps.txt",
        ALIASES,
        "etc/nova/nova.conf.d/91-gpu-passthrough-scheduler.conf",
        "etc/placement/placement.conf.d/90-gpu-passthrough.conf",
    ]
    assert {host for host, _ in texts} == {CONTROL, "hgx1", "l40s1"}


def test_aliases_are_the_same_everywhere():
    texts, _ = generate()
    assert body(texts[CONTROL, ALIASES]) == body(texts["hgx1", ALIASES])
    assert body(texts[CONTROL, ALIASES]) == body(texts["l40s1", ALIASES])


def test_a_host_has_only_its_own_devices():
    texts, _ = generate()
    specs = values(
        texts["l40s1", "etc/nova/nova.conf.d/91-gpu-passthrough-compute.conf"], "device_spec"
    )
    assert {json.loads(spec)["product_id"] for spec in specs} == {"26b9", "22ba"}
    assert len(specs) == 8


@pytest.mark.parametrize("target", [DeploymentTarget.PLAIN, DeploymentTarget.KOLLA])
def test_options_of_the_scheduler_that_the_fleet_file_sets(target):
    options = SchedulerOptions(
        isolated_hosts=("hgx1", "l40s1"),
        restrict_isolated_hosts_to_isolated_images=False,
        limit_tenants_to_placement_aggregate=True,
    )
    texts, _ = generate(target=target, scheduler_options=options)
    (text,) = [text for text in texts.values() if "weight_classes = " in text]
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(text)
    found = parser["filter_scheduler"]
    assert found["isolated_hosts"] == "hgx1,l40s1"
    assert found["restrict_isolated_hosts_to_isolated_images"] == "false"
    assert parser["scheduler"]["limit_tenants_to_placement_aggregate"] == "true"
    # Only what differs from Nova's default is written.
    assert "max_instances_per_host" not in text


def test_kolla_has_a_file_for_each_service_and_compute_node():
    texts, notes = generate(target=DeploymentTarget.KOLLA)
    config = "etc/kolla/config"
    paths = [path for host, path in texts if host == CONTROL and path.startswith(config)]
    assert paths == [
        f"{config}/nova/hgx1/nova.conf",
        f"{config}/nova/l40s1/nova.conf",
        f"{config}/nova/nova-api.conf",
        f"{config}/nova/nova-conductor.conf",
        f"{config}/nova/nova-scheduler.conf",
        f"{config}/nova/nova-super-conductor.conf",
        f"{config}/placement.conf",
    ]
    nova = [texts[CONTROL, path] for path in paths if "/nova/" in path]
    assert len({tuple(values(text, "alias")) for text in nova}) == 1
    assert all(values(text, "pci_in_placement") == ["true"] for text in nova)
    assert any(note.startswith("Kolla:") for note in notes)


def test_devstack_has_sections_of_local_conf():
    texts, _ = generate(target=DeploymentTarget.DEVSTACK)
    controller, compute = texts[CONTROL, "local.conf"], texts["hgx1", "local.conf"]
    groups = r"^\[\[.*\]\]$"
    assert re.findall(groups, controller, re.MULTILINE) == [
        "[[post-config|$NOVA_CONF]]",
        "[[post-config|$PLACEMENT_CONF]]",
    ]
    assert re.findall(groups, compute, re.MULTILINE) == ["[[post-config|$NOVA_CPU_CONF]]"]


def test_json_survives_devstacks_shell():
    """The shell does what merge_config_file in DevStack's inc/meta-config does with a value."""
    texts, _ = generate(target=DeploymentTarget.DEVSTACK)
    plain, _ = generate()
    quoted = values(texts["l40s1", "local.conf"], "device_spec")
    lines = "".join(f'echo "{value}"\n' for value in quoted)
    found = subprocess.run(
        ["bash", "-c", 'while read a; do eval "$a"; done'],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.splitlines() == values(
        plain["l40s1", "etc/nova/nova.conf.d/91-gpu-passthrough-compute.conf"], "device_spec"
    )


@pytest.mark.parametrize("release, since", [("31", "13.0.1"), ("32", "after 14.0.0"), ("33", None)])
def test_options_that_a_release_does_not_know_are_reported(release, since):
    _, notes = generate(release=parse(release))
    found = [note for note in notes if "optimize_for_wide_provider_trees" in note]
    assert len(found) == (since is not None)
    assert all(since in note for note in found)


def test_one_time_use_is_always_reported():
    _, notes = generate(release=parse("31"), one_time_use=True)
    assert any("one_time_use is left out: Nova 31" in note for note in notes)
    _, notes = generate(one_time_use=True)
    assert any("set reserved to 0" in note for note in notes)


def test_the_head_names_the_settings():
    generated = render.generate(
        HOSTS, Settings(exclude=("0000:41:00.0",), release=parse("32"), hugepages=True)
    )
    assert generated.files[0].text.startswith(
        "# Made by: nova-gpu config generate --release 32 --exclude 0000:41:00.0 --hugepages\n"
    )


def test_the_filter_precedes_those_that_check_pci_devices():
    assert filters(ENABLED_FILTERS)[-3:] == [
        "GpuPassthroughFilter",
        "PciPassthroughFilter",
        "NUMATopologyFilter",
    ]
    assert filters(["NUMATopologyFilter", "Mine", "GpuPassthroughFilter"]) == [
        "GpuPassthroughFilter",
        "NUMATopologyFilter",
        "Mine",
        "PciPassthroughFilter",
    ]


@pytest.mark.parametrize("hosts, count", [(1, 1000), (100, 1000), (250, 2500)])
def test_candidates_grow_with_the_number_of_gpu_hosts(hosts, count):
    assert candidates(range(hosts)) == count


def test_options_that_cannot_be_proposed_are_reported():
    texts, notes = generate(builders.l40s(numa_nodes=()))
    compute = texts["l40s1", "etc/nova/nova.conf.d/91-gpu-passthrough-compute.conf"]
    assert "cpu_dedicated_set" not in compute
    assert "reserved_host_memory_mb" not in compute
    assert sum("unknown" in note for note in notes) == 2
