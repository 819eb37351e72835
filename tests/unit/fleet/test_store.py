# SPDX-License-Identifier: Apache-2.0
"""Every key of a fleet file is read, and errors are reported with file, line and key."""

import dataclasses

import jsonschema
import pytest
import yaml

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import documents
from nova_gpu_passthrough.fleet import model, store
from nova_gpu_passthrough.fleet.model import Mode, QuotaDriver
from nova_gpu_passthrough.fleet.releases import RELEASES
from nova_gpu_passthrough.fleet.settings import OVERRIDABLE, Settings
from nova_gpu_passthrough.nova_rules.host_selection import SchedulerOptions

HEAD = """\
schema: nova-gpu-passthrough/fleet
version: 1
name: paris-1
groups:
  - name: hgx
    inventories: [hgx*.yaml]
"""


@pytest.fixture
def load(tmp_path):
    """Load a text; return the fleet file, or the error message."""
    path = tmp_path / "fleet.yaml"

    def load_text(text):
        path.write_text(text, encoding="utf-8")
        try:
            return store.load(path)
        except UserError as error:
            return str(error).removeprefix(f"{tmp_path}/")

    return load_text


def test_the_shortest_file(load):
    file = load(HEAD)
    assert file.name == "paris-1"
    assert file.path.name == "fleet.yaml"
    (group,) = file.groups
    assert (group.name, group.inventories, group.mode) == (
        "hgx",
        ("hgx*.yaml",),
        Mode.PASSTHROUGH,
    )
    assert file.flavors == file.projects == file.aliases == ()
    assert file.quotas.driver is QuotaDriver.UNIFIED_LIMITS


def test_strings_of_openstack_may_be_numbers_and_booleans(load):
    file = load(
        HEAD
        + """\
    metadata: {only: true, number: 3, ratio: 1.5, text: "no"}
settings: {release: 2026.2}
flavors:
  - model: H100-SXM
    page_size: 1048576
    extra_specs: {"hw:mem_encryption": false}
"""
    )
    assert file.groups[0].metadata == {"only": "true", "number": "3", "ratio": "1.5", "text": "no"}
    assert file.settings.release.series == "2026.2"
    assert file.flavors[0].page_size == "1048576"
    assert file.flavors[0].extra_specs == {"hw:mem_encryption": "false"}


def test_every_key_is_read(load):
    text = """\
schema: nova-gpu-passthrough/fleet
version: 1
name: all
groups:
  - name: a
    inventories: [a.yaml, b/**/*.yaml]
    mode: mig
    aggregate: agg
    availability_zone: az
    metadata: {k: v}
  - {name: b, inventories: [b.yaml]}
hosts:
  - {names: [h1, "h2*"], rack: r1, domains: {room: a, power: "2"}}
settings:
  release: 33
  exclude: ["0000:41:00.0"]
  nics: [gpu1/0000:42:00.0]
  include_unfit: true
  numa_policy: socket
  one_time_use: true
  enabled_filters: [ComputeFilter]
  headless: true
  scheduler_options: {isolated_hosts: [h1], max_io_ops_per_host: 0, image_metadata_prefilter: true}
  policy: spread
  host_cores: 0
  reserved_host_memory_mb: 1024
  hugepages: true
aliases:
  - {model: X, kind: audio, device_type: type-PF, name: n, resource_class: c, numa_policy: required}
flavors:
  - model: X
    counts: [1, 3]
    name: "{alias}-{model}-{count}-{vcpus}-{ram_gib}-{disk_gib}"
    groups: [b]
    vcpus_per_gpu: 8
    ram_mib_per_gpu: 1000
    disk_gib: 0
    numa_nodes: 2
    cpu_policy: shared
    page_size: 2MB
    extra_specs: {a: b}
    public: true
fixed_flavors:
  - {name: f, vcpus: 1, ram_mib: 2, disk_gib: 3, extra_specs: {a: 1}, public: false}
projects:
  - {name: p, domain: d, flavors: ["*"], quotas: {servers: 1, n: 2}}
quotas:
  driver: unified-limits
  default: {servers: 5}
"""
    file = load(text)
    document = yaml.safe_load(text)
    # Every key of the file differs from its default.
    for name in ("hosts", "settings", "aliases", "flavors", "fixed_flavors", "projects", "quotas"):
        values, objects = document[name], getattr(file, name)
        if isinstance(values, dict):
            values, objects = [values], [objects]
        for mapping, data in zip(values, objects, strict=True):
            keys = data.__dataclass_fields__.keys()
            assert mapping.keys() == keys - {"target", "distribution"}
            for key, value in mapping.items():
                found = getattr(data, key)
                if key == "scheduler_options":
                    assert found == SchedulerOptions(
                        isolated_hosts=("h1",), max_io_ops_per_host=0, image_metadata_prefilter=True
                    )
                    continue
                if key == "release":
                    found = found.nova
                elif isinstance(value, list):
                    value = tuple(value)
                elif isinstance(value, dict):
                    found, value = dict(found), {k: found[k] for k in value}
                elif not isinstance(found, bool):
                    found, value = str(found), str(value)
                assert found == value, key


@pytest.fixture(scope="module")
def schema():
    return documents.schema("nova_gpu_passthrough.fleet", "schema-v1.json")


def test_schema_and_settings_have_the_same_keys(schema):
    names = {field.name for field in dataclasses.fields(Settings)}
    properties = schema["$defs"]["Settings"]["properties"].keys()
    assert names - properties <= set(OVERRIDABLE)
    assert properties <= names


def test_schema_has_the_supported_releases(schema):
    expected = {name for one in RELEASES for name in (str(one.nova), one.series)}
    assert set(map(str, schema["$defs"]["Settings"]["properties"]["release"]["enum"])) == expected


def test_schema_and_model_have_the_same_keys(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    definitions = {"FleetFile": schema, **schema["$defs"]}
    for kind in (
        SchedulerOptions,
        model.FleetFile,
        model.HostGroup,
        model.HostRule,
        model.AliasRule,
        model.FlavorRule,
        model.FixedFlavor,
        model.Project,
        model.Quotas,
    ):
        definition = definitions[kind.__name__]
        assert definition["additionalProperties"] is False
        fields = {field.name for field in dataclasses.fields(kind)} - {"path"}
        assert definition["properties"].keys() - {"schema", "version"} == fields


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "expected a fleet file of version 1"),
        (HEAD + "nmae: x\n", "fleet.yaml:7: unknown key nmae; did you mean name?"),
        (HEAD.replace("name: hgx", "nam: hgx"), "fleet.yaml:5: key groups[0]"),
        (HEAD.replace("version: 1", "version: 2"), "fleet.yaml:2: key version: must be 1, not 2"),
        (HEAD + "settings: {host_cores: -1}\n", "fleet.yaml:7: key settings.host_cores: must be"),
        (HEAD + "settings: {release: 30}\n", "fleet.yaml:7: key settings.release: must be "),
        (
            HEAD + "flavors:\n  - model: X\n    counts: [0]\n",
            "fleet.yaml:9: key flavors[0].counts[0]: must be at least 1, not 0",
        ),
        (
            HEAD + "projects:\n  - name: p\n    quotas:\n      h100: -3\n",
            "fleet.yaml:10: key projects[0].quotas.h100: must be at least 0, not -3",
        ),
        (HEAD + "hosts: [{rack: r1}]\n", "key hosts[0]: there is no key names"),
        (HEAD + "hosts: [{names: [], rack: r1}]\n", "key hosts[0].names: "),
        (HEAD + "hosts: [{names: [a], rack: true}]\n", "key hosts[0].rack: True is not valid"),
        (HEAD + "hosts: [{names: [a], domains: {Room: x}}]\n", "key hosts[0].domains: 'Room'"),
        (HEAD + "name: twice\n", "fleet.yaml:7: key name occurs twice"),
        (HEAD + "\tx: 1\n", "fleet.yaml:7: "),
    ],
)
def test_a_malformed_file_is_reported_with_line_and_key(load, text, message):
    found = load(text)
    assert message in found
    assert "\n" not in found
