# SPDX-License-Identifier: Apache-2.0
"""Properties of the files for any hosts and settings."""

import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from nova.compute import pci_placement_translator
from nova.pci import devspec

from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.fleet import aliases, cpu_sets, device_spec
from nova_gpu_passthrough.fleet.offers import CONTROL, choose
from nova_gpu_passthrough.fleet.releases import RELEASES
from nova_gpu_passthrough.fleet.settings import DeploymentTarget, Settings
from nova_gpu_passthrough.generate import binding, render
from nova_gpu_passthrough.topology import tags
from tests.unit.generate import builders
from tests.unit.generate.ini import assignments

any_settings = st.builds(
    Settings,
    st.sampled_from(RELEASES),
    st.sampled_from(DeploymentTarget),
    include_unfit=st.booleans(),
    one_time_use=st.booleans(),
    host_cores=st.none() | st.integers(0, 50),
    reserved_host_memory_mb=st.none() | st.integers(0, 2_000_000),
    hugepages=st.booleans(),
)


@pytest.fixture(autouse=True)
def _device_spec_allows_one_time_use(options):
    options(group="pci", report_in_placement=True)


@given(builders.inventories(), any_settings)
def test_nova_reads_every_device_spec_and_alias(inventories, settings):
    offers, _ = choose(inventories, settings)
    made, _ = aliases.make(offers, settings.numa_policy)
    names = [alias.name for alias in made.values()]
    assert len(names) == len(set(names))
    for alias in made.values():
        document = json.loads(alias.to_json())
        assert all(isinstance(value, str) and value for value in document.values())
        assert re.fullmatch(r"[a-z0-9._-]+", document["name"])
        normal = pci_placement_translator.get_resource_class(alias.resource_class, "", "")
        assert normal == alias.resource_class
    for offer in offers:
        entries = device_spec.make(offer, made, settings)
        assert sorted({entry["address"] for entry in entries}) == [
            device.address for device in offer.devices
        ]
        for entry in entries:
            parsed = json.loads(device_spec.to_json(entry))
            assert all(isinstance(value, str) and value for value in parsed.values())
            assert {key for key in parsed if key.startswith(tags.PREFIX)} <= set(tags.TAGS)
            assert ("one_time_use" in parsed) <= settings.release.one_time_use
            spec = devspec.PciDeviceSpec(dict(parsed))
            assert spec.address.match(parsed["address"], None)
            traits = pci_placement_translator.get_traits(parsed.get("traits", ""))
            assert traits == set(filter(None, parsed.get("traits", "").split(",")))


@given(builders.inventories(hosts=1), st.none() | st.integers(0, 50))
def test_cpu_sets_are_disjoint_and_keep_cores_whole(inventories, host_cores):
    (offer,), _ = choose(inventories, Settings())
    sets = cpu_sets.propose(offer, host_cores)
    cores = [
        frozenset(cpu_list.parse(core))
        for node in offer.inventory.numa_nodes
        for core in node.cores
    ]
    if sets is None:
        assert min(len(node.cores) for node in offer.inventory.numa_nodes) < 2
        return
    uses = [sets.dedicated, sets.shared, sets.host]
    assert sum(map(len, uses)) == len(frozenset().union(*uses))
    assert frozenset().union(*uses) == frozenset().union(*cores)
    for core in cores:
        assert sum(core <= cpus for cpus in uses) == 1
    for node in {gpu.device.numa_node for gpu in offer.gpus} - {None}:
        assert sets.dedicated_by_node[node]


@given(builders.inventories(hosts=1))
def test_only_offered_functions_are_bound_each_of_them_once(inventories):
    (offer,), _ = choose(inventories, Settings())
    bound = binding.make(offer)
    by_ids = [address for members in bound.ids.values() for address in members]
    assert sorted([*by_ids, *bound.overrides]) == [device.address for device in offer.bound]
    for function in offer.inventory.devices:
        if function.address not in by_ids:
            assert function.ids not in bound.ids


@given(builders.inventories(), any_settings)
def test_the_same_input_gives_the_same_files(inventories, settings):
    first = render.generate(inventories, settings)
    assert first == render.generate(list(reversed(inventories)), settings)
    paths = [(file.host, file.path) for file in first.files]
    assert len(paths) == len(set(paths))
    head = re.compile(r"(#![^\n]*\n)?# Made by: nova-gpu config generate")
    assert all(head.match(file.text) for file in first.files)
    assert all(file.text.endswith("\n") for file in first.files)


@given(builders.inventories(), any_settings)
def test_files_are_the_same_after_they_were_applied(inventories, settings):
    """After the reboot, the audit finds vfio-pci and the kernel options."""
    offers, _ = choose(inventories, settings)
    bound = {offer.host: [device.address for device in offer.bound] for offer in offers}
    again = [
        builders.applied(inventory, bound.get(inventory.host, ())) for inventory in inventories
    ]
    assert render.generate(inventories, settings).files == render.generate(again, settings).files


@given(builders.inventories(), any_settings)
def test_files_are_well_formed(inventories, settings):
    for file in render.generate(inventories, settings).files:
        if file.path.endswith(".yaml"):
            assert yaml.safe_load(file.text)["gpus"]
        if file.path.endswith(".conf") and "/nova" in file.path:
            assert file.host == CONTROL or "kolla" not in file.path
            assert assignments(file.text)
            # Kolla-Ansible treats the files as Jinja templates.
            assert not re.search(r"\{\{|\{%|\{#", file.text)
        assert not re.search(r"[^\x20-\x7e\n\t]", file.text)
