# SPDX-License-Identifier: Apache-2.0
"""What holds for whatever hosts and settings there are."""

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
from nova_gpu_passthrough.fleet.settings import Settings, Target
from nova_gpu_passthrough.generate import binding, render
from nova_gpu_passthrough.topology import tags
from tests.unit.generate import builders
from tests.unit.generate.ini import assignments

settings = st.builds(
    Settings,
    st.sampled_from(RELEASES),
    st.sampled_from(Target),
    include_unfit=st.booleans(),
    one_time_use=st.booleans(),
    host_cores=st.none() | st.integers(0, 50),
    reserved_host_memory_mb=st.none() | st.integers(0, 2_000_000),
    hugepages=st.booleans(),
)


@pytest.fixture(autouse=True)
def _device_spec_allows_one_time_use(options):
    options(group="pci", report_in_placement=True)


@given(builders.inventories(), settings)
def test_every_device_spec_and_alias_is_what_nova_reads(inventories, wanted):
    offers, _ = choose(inventories, wanted)
    known, _ = aliases.make(offers, wanted.numa_policy)
    names = [alias.name for alias in known.values()]
    assert len(names) == len(set(names))
    for alias in known.values():
        document = json.loads(alias.to_json())
        assert all(isinstance(value, str) and value for value in document.values())
        assert re.fullmatch(r"[a-z0-9._-]+", document["name"])
        normal = pci_placement_translator.get_resource_class(alias.resource_class, "", "")
        assert normal == alias.resource_class
    for offer in offers:
        entries = device_spec.make(offer, known, wanted)
        assert sorted({entry["address"] for entry in entries}) == [
            device.address for device in offer.devices
        ]
        for entry in entries:
            parsed = json.loads(device_spec.to_json(entry))
            assert all(isinstance(value, str) and value for value in parsed.values())
            assert {key for key in parsed if key.startswith(tags.PREFIX)} <= set(tags.TAGS)
            assert ("one_time_use" in parsed) <= wanted.release.one_time_use
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
    parts = [sets.dedicated, sets.shared, sets.host]
    assert sum(map(len, parts)) == len(frozenset().union(*parts))
    assert frozenset().union(*parts) == frozenset().union(*cores)
    for core in cores:
        assert sum(core <= part for part in parts) == 1
    for node in {gpu.device.numa_node for gpu in offer.gpus} - {None}:
        assert sets.dedicated_by_node[node]


@given(builders.inventories(hosts=1))
def test_every_function_is_bound_once_and_no_other_is_touched(inventories):
    (offer,), _ = choose(inventories, Settings())
    bound = binding.decide(offer)
    by_ids = [address for members in bound.ids.values() for address in members]
    assert sorted([*by_ids, *bound.overrides]) == [device.address for device in offer.bound]
    for function in offer.inventory.devices:
        if function.address not in by_ids:
            assert function.ids not in bound.ids


@given(builders.inventories(), settings)
def test_the_same_input_gives_the_same_files(inventories, wanted):
    first = render.generate(inventories, wanted)
    assert first == render.generate(list(reversed(inventories)), wanted)
    places = [(file.host, file.path) for file in first.files]
    assert len(places) == len(set(places))
    head = re.compile(r"(#![^\n]*\n)?# Made by: nova-gpu config generate")
    assert all(head.match(file.text) for file in first.files)
    assert all(file.text.endswith("\n") for file in first.files)


@given(builders.inventories(), settings)
def test_what_has_been_applied_changes_nothing(inventories, wanted):
    """The audit after the reboot finds vfio-pci and the options; that gives the same files."""
    offers, _ = choose(inventories, wanted)
    bound = {offer.host: [device.address for device in offer.bound] for offer in offers}
    again = [
        builders.applied(inventory, bound.get(inventory.host, ())) for inventory in inventories
    ]
    assert render.generate(inventories, wanted).files == render.generate(again, wanted).files


@given(builders.inventories(), settings)
def test_files_are_well_formed(inventories, wanted):
    for file in render.generate(inventories, wanted).files:
        if file.path.endswith(".yaml"):
            assert yaml.safe_load(file.text)["gpus"]
        if file.path.endswith(".conf") and "/nova" in file.path:
            assert file.host == CONTROL or "kolla" not in file.path
            assert assignments(file.text)
            # Kolla-Ansible takes the files for Jinja templates.
            assert not re.search(r"\{\{|\{%|\{#", file.text)
        assert not re.search(r"[^\x20-\x7e\n\t]", file.text)
