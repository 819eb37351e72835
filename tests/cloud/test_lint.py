# SPDX-License-Identifier: Apache-2.0
"""Lint finds nothing on an applied cloud, and finds each fault that a test causes."""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from nova_gpu_passthrough.cloud.apply import record as records
from nova_gpu_passthrough.cloud.lint import checks, cloud_facts
from nova_gpu_passthrough.cloud.lint.configuration import host_directories, running_services
from nova_gpu_passthrough.cloud.lint.configuration.services import ServiceRole
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet import derive_state, resolve, store
from tests import cache
from tests.cloud.commands import undo

_FLEET = """
schema: nova-gpu-passthrough/fleet
version: 1
name: lint-test
groups:
  - {{name: h100, aggregate: lint-h100, inventories: [{folder}/gpu01.yaml, {folder}/gpu02.yaml]}}
  - {{name: l40s, aggregate: lint-l40s, inventories: [{folder}/gpu03.yaml]}}
flavors:
  - {{model: H100-SXM, counts: [1, 8], name: "lint.{{alias}}.{{count}}", public: true}}
  - {{model: L40S, counts: [1], name: "lint.{{alias}}.{{count}}", public: true}}
"""
_ALIASES = "etc/nova/nova.conf.d/90-gpu-passthrough-aliases.conf"
_SCHEDULER = "etc/nova/nova.conf.d/91-gpu-passthrough-scheduler.conf"
_COMPUTE = "etc/nova/nova.conf.d/91-gpu-passthrough-compute.conf"
_PLACEMENT = "etc/placement/placement.conf.d/90-gpu-passthrough.conf"
_VERSION = "placement 1.39"


class Lint:
    """A fleet that was applied to the cloud, with copies of the services' configuration."""

    def __init__(self, plane, root):
        self.plane, self.root = plane, root
        self.fleet = root / "fleet.yaml"
        self.fleet.write_text(_FLEET.format(folder=plane.inventories[0].parent))
        self.config = root / "config"
        shutil.copytree(plane.config, self.config)
        self.resolved = resolve.resolve(store.load(self.fleet))
        self.desired, self.made = derive_state.make(self.resolved)
        self.admin = plane.connection("admin")
        address = self.resolved.offers[0].gpus[0].address
        #: A GPU's provider, and its name in findings.
        self.gpu, self.gpu_subject = f"gpu01_{address.upper()}", f"gpu01 {address}"

    def run(self, *arguments):
        """Run ``nova-gpu``."""
        program = Path(sys.executable).with_name("nova-gpu")
        return subprocess.run(
            [program, *map(str, arguments)],
            env=self.plane.environment("admin"),
            cwd=cache.ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def read(self):
        """Read the cloud as it is now."""
        known = records.load(records.default_path(self.fleet))
        return cloud_facts.read(self.admin, self.resolved, self.desired, known)

    def found(self, cloud, config=None):
        """Return ids and subjects of findings, without flavors of other tests on the same cloud."""
        services = host_directories.find(config or self.config, set(self.resolved.inventories))
        facts = Facts(self.resolved, self.desired, self.made, services, cloud)
        return {
            (finding.id, finding.subject)
            for finding in checks.findings(facts)
            if finding.id != "cloud.foreign" and not re.match("flavor (?!lint)", finding.subject)
        }

    def placement(self, method, path, body=None):
        """Send a request to Placement."""
        response = self.admin.placement.request(
            path,
            method,
            headers={"OpenStack-API-Version": _VERSION},
            **({"json": body} if body is not None else {}),
        )
        assert response.status_code < 300, response.text
        return response.json() if response.content else None

    def provider(self, name):
        """Return the UUID of a resource provider."""
        (found,) = self.placement("GET", f"/resource_providers?name={name}")["resource_providers"]
        return found["uuid"]


@pytest.fixture(scope="module")
def lint(plane, tmp_path_factory):
    made = Lint(plane, tmp_path_factory.mktemp("lint"))
    applied = made.run("apply", "--fleet", made.fleet)
    try:
        assert applied.returncode == 0, applied.stderr
        yield made
    finally:
        undo(plane, made.fleet)
        made.admin.close()


def test_an_applied_cloud_has_no_findings_and_has_not_drifted(lint):
    assert lint.found(lint.read()) == set()
    status = lint.run("drift", "--fleet", lint.fleet, "--config", lint.config, "-f", "json")
    found = {row["Finding"] for row in json.loads(status.stdout)} - {"cloud.foreign"}
    assert not found, status.stdout


def test_the_openstack_client_has_the_same_command(lint):
    client = Path(sys.executable).with_name("openstack")
    status = subprocess.run(
        [client, "gpu", "lint", "--fleet", lint.fleet, "--config", lint.config, "-f", "json"],
        env=lint.plane.environment("admin"),
        cwd=cache.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert status.returncode == 0, status.stderr
    assert {row["Finding"] for row in json.loads(status.stdout)} <= {"cloud.foreign"}


def test_a_tenant_is_told_the_role_in_one_sentence(lint):
    program = Path(sys.executable).with_name("nova-gpu")
    status = subprocess.run(
        [program, "lint", "--fleet", lint.fleet],
        env=lint.plane.environment("tenant"),
        cwd=cache.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert status.returncode == 2
    assert "role admin" in status.stderr
    assert len(status.stderr.strip().splitlines()) == 1


#: Host, file, text, replacement, and the resulting finding.
_FILES = [
    ("gpu01", _ALIASES, '"l40s"', '"l40"', ("alias.missing", "nova-compute@gpu01")),
    ("control", _ALIASES, "type-PF", "type-PCI", ("alias.device_type", "nova@control")),
    ("gpu02", _ALIASES, '"}\n', '",}\n', ("alias.invalid", "nova-compute@gpu02")),
    (
        "gpu02",
        _COMPUTE,
        "report_in_placement = true",
        "report_in_placement = false",
        ("pci.not_reported", "nova-compute@gpu02"),
    ),
    (
        "gpu01",
        _COMPUTE,
        "CUSTOM_GPU_H100_SXM",
        "X",
        ("device_spec.resource_class", "nova-compute@gpu01"),
    ),
    ("gpu03", _COMPUTE, '"gpu_card"', '"gpu_cart"', ("device_spec.tags", "nova-compute@gpu03")),
    (
        "control",
        _SCHEDULER,
        "GpuPassthroughFilter,PciPassthroughFilter",
        "PciPassthroughFilter,GpuPassthroughFilter",
        ("scheduler.filter_order", "nova@control"),
    ),
    (
        "control",
        _PLACEMENT,
        "optimize_for_wide_provider_trees = true",
        "",
        ("placement.wide_trees", "placement@control"),
    ),
    (
        "control",
        "etc/nova/nova.conf",
        "[quota]",
        "[filter_scheduler]\nhost_subset_size = 9\n[quota]",
        ("scheduler.host_subset", "nova@control"),
    ),
]


def test_each_fault_in_the_configuration_is_found(lint, tmp_path):
    cloud = lint.read()
    for number, (host, name, old, new, expected) in enumerate(_FILES):
        config = tmp_path / str(number)
        shutil.copytree(lint.config, config)
        path = config / host / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        assert expected in lint.found(cloud, config)


@contextlib.contextmanager
def _changed_flavor(lint):
    flavor = lint.admin.compute.find_flavor("lint.l40s.1", get_extra_specs=True)
    specs = {key: flavor.extra_specs[key] for key in ("hw:cpu_policy", "hw:mem_page_size")}
    for key in specs:
        lint.admin.compute.delete_flavor_extra_specs_property(flavor, key)
    try:
        yield ("cloud.flavor", "flavor lint.l40s.1")
    finally:
        for key, value in specs.items():
            lint.admin.compute.update_flavor_extra_specs_property(flavor, key, value)


@contextlib.contextmanager
def _flavor(lint, specs, expected):
    flavor = lint.admin.compute.create_flavor(name="lint.bad", vcpus=1, ram=1024, disk=1)
    lint.admin.compute.create_flavor_extra_specs(flavor, specs)
    try:
        yield expected
    finally:
        lint.admin.compute.delete_flavor(flavor)


def _unknown_alias(lint):
    specs = {"pci_passthrough:alias": "h200:1"}
    return _flavor(lint, specs, ("flavor.alias_unknown", "flavor lint.bad"))


def _too_many(lint):
    specs = {"pci_passthrough:alias": "h100-sxm:9", "hw:numa_nodes": "1"}
    return _flavor(lint, specs, ("flavor.too_many_devices", "flavor lint.bad"))


def _no_numa(lint):
    specs = {"pci_passthrough:alias": "l40s:1"}
    return _flavor(lint, specs, ("flavor.no_numa", "flavor lint.bad"))


@contextlib.contextmanager
def _host_not_in_aggregate(lint):
    aggregate = lint.admin.compute.find_aggregate("lint-h100")
    lint.admin.compute.remove_host_from_aggregate(aggregate, "gpu02")
    try:
        yield ("cloud.aggregate", "aggregate lint-h100")
    finally:
        lint.admin.compute.add_host_to_aggregate(aggregate, "gpu02")


@contextlib.contextmanager
def _metadata(lint):
    aggregate = lint.admin.compute.find_aggregate("lint-l40s")
    old = aggregate.metadata["gpu_mode"]
    lint.admin.compute.set_aggregate_metadata(aggregate, {"gpu_mode": "vgpu"})
    try:
        yield ("cloud.aggregate", "aggregate lint-l40s")
    finally:
        lint.admin.compute.set_aggregate_metadata(aggregate, {"gpu_mode": old})


@contextlib.contextmanager
def _disabled(lint):
    (service,) = lint.admin.compute.services(binary="nova-compute", host="gpu03")
    lint.admin.compute.disable_service(service, disabled_reason="lint-test")
    try:
        yield ("host.disabled", "host gpu03")
    finally:
        lint.admin.compute.enable_service(service)


@contextlib.contextmanager
def _inventory(lint, name, resource_class, expected, **changes):
    path = f"/resource_providers/{lint.provider(name)}/inventories/{resource_class}"

    def put(values):
        # nova-compute may have updated it since the first read.
        now = lint.placement("GET", path)
        lint.placement("PUT", path, {**now, **values})

    old = lint.placement("GET", path)
    put(changes)
    try:
        yield expected
    finally:
        put({key: old[key] for key in changes})


def _reserved(lint):
    expected = ("device.reserved", lint.gpu_subject)
    return _inventory(lint, lint.gpu, "CUSTOM_GPU_H100_SXM", expected, reserved=1)


def _overcommitted(lint):
    return _inventory(
        lint, "gpu03", "MEMORY_MB", ("host.overcommit", "host gpu03"), allocation_ratio=1.5
    )


@contextlib.contextmanager
def _traits(lint):
    path = f"/resource_providers/{lint.provider(lint.gpu)}/traits"
    old = lint.placement("GET", path)
    kept = [name for name in old["traits"] if not name.startswith("CUSTOM_GPU_NUMA")]
    lint.placement("PUT", path, {**old, "traits": kept})
    try:
        yield ("device.traits", lint.gpu_subject)
    finally:
        lint.placement("PUT", path, {**lint.placement("GET", path), "traits": old["traits"]})


@contextlib.contextmanager
def _left_over(lint):
    provider, path = str(uuid.uuid4()), "/resource_providers"
    body = {
        "name": "gpu02_0000:FE:00.0",
        "uuid": provider,
        "parent_provider_uuid": lint.provider("gpu02"),
    }
    lint.placement("POST", path, body)
    generation = {"resource_provider_generation": 0}
    inventory = {"CUSTOM_GPU_H100_SXM": {"total": 1}}
    lint.placement(
        "PUT", f"{path}/{provider}/inventories", {**generation, "inventories": inventory}
    )
    traits = ["COMPUTE_MANAGED_PCI_DEVICE", "CUSTOM_GPU_MODEL_H100_SXM", "OWNER_NOVA"]
    generation["resource_provider_generation"] = 1
    lint.placement("PUT", f"{path}/{provider}/traits", {**generation, "traits": traits})
    try:
        yield ("device.left_over", "gpu02 0000:fe:00.0")
    finally:
        # nova-compute may have removed it already.
        with contextlib.suppress(AssertionError):
            lint.placement("DELETE", f"{path}/{provider}")


@contextlib.contextmanager
def _stuck(lint):
    consumer = str(uuid.uuid4())
    allocation = {"resources": {"CUSTOM_GPU_H100_SXM": 1}}
    body = {
        "allocations": {lint.provider(lint.gpu): allocation},
        "project_id": lint.admin.current_project_id,
        "user_id": lint.admin.current_user_id,
        "consumer_generation": None,
        "consumer_type": "INSTANCE",
    }
    lint.placement("PUT", f"/allocations/{consumer}", body)
    try:
        yield ("device.stuck", lint.gpu_subject)
    finally:
        lint.placement("DELETE", f"/allocations/{consumer}")


@contextlib.contextmanager
def _limit(lint):
    (service,) = lint.admin.identity.services(type="compute")
    limit = lint.admin.identity.create_registered_limit(
        service_id=service.id,
        region_id="RegionOne",
        resource_name="class:CUSTOM_GPU_H999",
        default_limit=4,
    )
    try:
        yield ("quota.limit_unused", "class:CUSTOM_GPU_H999")
    finally:
        lint.admin.identity.delete_registered_limit(limit)


@pytest.mark.parametrize(
    "fault",
    [
        _changed_flavor,
        _unknown_alias,
        _too_many,
        _no_numa,
        _host_not_in_aggregate,
        _metadata,
        _disabled,
        _reserved,
        _overcommitted,
        _traits,
        _left_over,
        _stuck,
        _limit,
    ],
)
def test_each_fault_in_the_cloud_is_found(lint, fault):
    with fault(lint) as expected:
        found = lint.found(lint.read())
    assert expected in found


def test_with_all_faults_fixed_it_is_clean_again(lint):
    assert lint.found(lint.read()) == set()


def test_services_that_run_are_found_with_what_they_read(plane):
    found = {
        role: service.configuration.files
        for service in running_services.find()
        for role in service.roles
        if any(path.is_relative_to(plane.directory) for path in service.configuration.files)
    }
    folder = plane.site.control / "nova"
    files = (folder / "nova.conf", *sorted((folder / "nova.conf.d").glob("*.conf")))
    assert len(files) > 1
    assert (found[ServiceRole.CONDUCTOR], found[ServiceRole.SCHEDULER]) == (files, files)
