# SPDX-License-Identifier: Apache-2.0
"""Aliases and device_spec are accepted and refused exactly as by Nova."""

import json
from importlib import metadata
from pathlib import Path
from unittest import mock

import nova.conf
from hypothesis import given
from hypothesis import strategies as st
from nova import exception
from nova.compute import pci_placement_translator
from nova.pci import devspec, request
from oslo_config import fixture as config_fixture

from nova_gpu_passthrough.cloud.lint import configured_alias, configured_device_spec
from nova_gpu_passthrough.cloud.lint.checks import alias_syntax
from nova_gpu_passthrough.cloud.lint.configuration.config_files import Assignment, Configuration
from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService, ServiceRole
from nova_gpu_passthrough.cloud.lint.fixes import Fixes
from nova_gpu_passthrough.fleet.settings import DeploymentTarget
from nova_gpu_passthrough.inventory.pci import DeviceType
from nova_gpu_passthrough.nova_rules import resource_names
from tests.unit.generate.builders import device

FIXES = Fixes(Path("fleet.yaml"), DeploymentTarget.PLAIN)
WORDS = st.sampled_from(["a", "b", "10de", "10DE", "2330", "123", "type-PCI", "yes", "maybe", ""])
ALIAS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["a", "a", " a ", "b", ""]),
        "vendor_id": st.sampled_from(["10de", "10DE", "10d", 5]),
        "product_id": st.sampled_from(["2330", "zzzz"]),
        "device_type": st.sampled_from(["type-PCI", "type-PF", "type-VF", "vdpa"]),
        "numa_policy": st.sampled_from(["legacy", "required", "socket", "never"]),
        "resource_class": st.sampled_from(["CUSTOM_X", "pgpu", None]),
        "traits": WORDS,
        "capability_type": st.sampled_from(["pci", "usb"]),
        "live_migratable": st.sampled_from(["yes", "false", "maybe"]),
        "other": WORDS,
    },
).map(lambda keys: {"name": "a", **keys} if len(keys) % 3 else keys)
TEXTS = st.one_of(ALIAS.map(json.dumps), st.sampled_from(["{", "[]", "1", "null", '"x"']))


def assignment(value, key="alias"):
    return Assignment("pci", key, value, Path("nova.conf"), 1)


def nova_takes(texts, by_placement):
    fixture = config_fixture.Config(nova.conf.CONF)
    fixture.setUp()
    request.get_alias_from_config.cache_clear()
    try:
        fixture.config(group="pci", alias=texts)
        fixture.config(group="filter_scheduler", pci_in_placement=by_placement)
        request.get_alias_from_config()
        return True
    except exception.PciInvalidAlias:
        return False
    finally:
        fixture.cleanUp()
        request.get_alias_from_config.cache_clear()


@given(st.lists(TEXTS, max_size=3), st.booleans())
def test_aliases_have_findings_exactly_if_nova_refuses_them(texts, by_placement):
    assignments = [assignment(text) for text in texts]
    option = ("filter_scheduler", "pci_in_placement")
    flag = Assignment(*option, str(by_placement), Path("nova.conf"), 1)
    service = ConfiguredService((ServiceRole.API,), "ctl", Configuration((), (*assignments, flag)))
    findings = list(alias_syntax.check(mock.Mock(nova_services=[service], fixes=FIXES)))
    # Without PCI in Placement Nova accepts several aliases of one name; the fleet's hosts do not.
    findings = [f for f in findings if by_placement or f.id != "alias.repeated"]
    assert (not findings) == nova_takes(texts, by_placement)


PARTS = st.sampled_from(["*", "0000", "0001", "41", "42", "00", "20", "1f", "", "1", "g", "10000"])
GLOBS = st.one_of(
    st.builds("{}:{}:{}.{}".format, PARTS, PARTS, PARTS, PARTS),
    st.builds("{}:{}.{}".format, PARTS, PARTS, PARTS),
    st.sampled_from(["0000:41:00.0", "0000:51:00.0", "*:41:00.*", ".0", ":00.", "a:b:c:d.e"]),
)
PATTERNS = st.fixed_dictionaries(
    {},
    optional={
        "domain": st.sampled_from([".*", "0000", "["]),
        "bus": st.sampled_from(["4[12]", "51"]),
        "slot": st.sampled_from(["0", "00", "02"]),
        "function": st.sampled_from(["[0-1]", "0"]),
    },
)
KNOWS_ONE_TIME_USE = int(metadata.version("nova").partition(".")[0]) >= 32
SPEC = st.fixed_dictionaries(
    {},
    optional={
        "vendor_id": st.sampled_from(["10de", "10DE", " 10de ", "*", "0x10de", "xyz", "fffff"]),
        "product_id": st.sampled_from(["2330", "26b9", "*", "74b5"]),
        "address": st.one_of(GLOBS, PATTERNS),
        "managed": st.sampled_from(["yes", "no", "TRUE", "maybe"]),
        # Nova 31 does not know the key, and accepts any text.
        "one_time_use": st.sampled_from(["false", *(["maybe"] if KNOWS_ONE_TIME_USE else [])]),
        "resource_class": st.sampled_from(["CUSTOM_X", "pgpu"]),
    },
)
DEVICES = [
    device("0000:41:00.0", ids="10de:2330"),
    device("0000:42:00.1", ids="10de:26b9"),
    device("0001:41:00.0", ids="10de:2330"),
    device("0000:51:00.0", ids="1002:74a1", sriov_total_vfs=8),
    device("0000:51:02.0", ids="1002:74b5", physical_function="0000:51:00.0"),
]


def is_physical_function(domain, bus, slot, function):
    return f"{domain}:{bus}:{slot}.{function}" == "0000:51:00.0"


@given(SPEC)
def test_device_spec_matches_what_nova_matches(keys):
    with mock.patch("nova.pci.utils.is_physical_function", is_physical_function):
        try:
            theirs = devspec.PciDeviceSpec(dict(keys))
        except (exception.NovaException, ValueError):
            theirs = None
    try:
        (ours,) = configured_device_spec.parse(assignment(json.dumps(keys), "device_spec"))
    except ValueError:
        ours = None
    assert (ours is None) == (theirs is None)
    if ours is None:
        return
    for one in DEVICES:
        properties = {
            "vendor_id": one.vendor_id,
            "product_id": one.product_id,
            "address": one.address,
            "parent_addr": one.physical_function,
        }
        assert ours.matches(one) == theirs.match(properties)


@given(st.one_of(st.none(), st.text("aA_1 -x", max_size=8)))
def test_resource_classes_are_normalized_as_in_nova(name):
    theirs = pci_placement_translator.get_resource_class(name, "10de", "2330")
    assert resource_names.normalize_resource_class(name, "10de", "2330") == theirs


@given(st.lists(st.sampled_from(["HW_GPU_API_VULKAN", "big one", "CUSTOM_A", "custom_a", "x"])))
def test_traits_are_normalized_as_in_nova(words):
    text = ",".join(words)
    assert resource_names.normalize_traits(text) == pci_placement_translator.get_traits(text)


def test_a_list_of_device_specs_is_read_as_in_nova():
    text = '[{"vendor_id": "10de"}, {"vendor_id": "1002"}]'
    entries = configured_device_spec.parse(assignment(text, "device_spec"))
    assert [entry.matches(DEVICES[0]) for entry in entries] == [True, False]


def test_an_alias_without_device_type_selects_all_but_pfs():
    alias = configured_alias.parse(
        assignment('{"name": "a", "vendor_id": "10de", "product_id": "2330"}')
    )
    assert [kind for kind in DeviceType if alias.accepts_type(kind)] == [
        DeviceType.PCI,
        DeviceType.VF,
    ]
