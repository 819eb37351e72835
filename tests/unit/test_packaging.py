# SPDX-License-Identifier: Apache-2.0
"""The installed distribution offers what Nova, oslo.config and stevedore look for by name."""

import re
from importlib import metadata, resources
from pathlib import Path

import pytest
import yaml

DISTRIBUTION = "nova-gpu-passthrough"
#: In the program nova-gpu, and in the openstack client as "openstack gpu ...".
CLOUD_COMMANDS = (
    "apply",
    "available",
    "capacity",
    "device_list",
    "drift",
    "explain",
    "flavor_generate",
    "host_list",
    "lint",
    "metrics",
    "mix",
    "quota_list",
    "report",
    "status",
)
RANKERS = (
    "best-fit",
    "fgd",
    "fragmentation",
    "nova",
    "nova+fragmentation",
    "random",
)
ENTRY_POINTS = {
    *(("nova_gpu_passthrough.rankers", name) for name in RANKERS),
    *(("nova_gpu_passthrough.cli", name) for name in CLOUD_COMMANDS),
    *(("openstack.gpu.v1", f"gpu_{name}") for name in CLOUD_COMMANDS),
    ("openstack.cli.extension", "gpu"),
    ("console_scripts", "nova-gpu"),
    ("nova_gpu_passthrough.cli", "config_generate"),
    ("nova_gpu_passthrough.cli", "gpu_list"),
    ("nova_gpu_passthrough.cli", "host_audit"),
    ("nova_gpu_passthrough.cli", "host_draw"),
    ("nova_gpu_passthrough.cli", "simulate"),
    ("oslo.config.opts", "nova_gpu_passthrough"),
    ("nova.api.extra_spec_validators", "gpu"),
    ("nova_gpu_passthrough.policies", "fragmentation"),
    ("nova_gpu_passthrough.policies", "pack"),
    ("nova_gpu_passthrough.policies", "spread"),
}


def test_the_environment_of_the_cloud_has_what_the_first_commands_need():
    constraints = Path(__file__).parents[2] / "constraints"
    pinned = re.findall(r"^([\w.-]+)==", (constraints / "cloud-34.txt").read_text(), re.MULTILINE)
    # Nova, and simulate --plot.
    assert {"nova", "python-openstackclient", "matplotlib", "numpy"} <= set(pinned)


def test_version_is_known():
    assert metadata.version(DISTRIBUTION)


def test_python_that_is_too_old_is_refused():
    assert metadata.metadata(DISTRIBUTION)["Requires-Python"] == ">=3.11"


def test_entry_points():
    found = metadata.distribution(DISTRIBUTION).entry_points
    assert {(point.group, point.name) for point in found} == ENTRY_POINTS


@pytest.mark.parametrize("group, name", sorted(ENTRY_POINTS))
def test_entry_point_loads(group, name):
    (point,) = metadata.entry_points(group=group, name=name)
    assert point.dist.metadata["Name"] == DISTRIBUTION
    point.load()


def test_options_are_listed_for_the_sample():
    (point,) = metadata.entry_points(group="oslo.config.opts", name="nova_gpu_passthrough")
    groups = dict(point.load()())
    assert any(groups.values())


def test_validators_are_offered_to_nova_api():
    (point,) = metadata.entry_points(group="nova.api.extra_spec_validators", name="gpu")
    validators = point.load().register()
    assert validators
    assert {validator.name.split(":")[0] for validator in validators} == {"gpu"}


def test_catalogue_is_part_of_the_package():
    folder = resources.files("nova_gpu_passthrough") / "catalog"
    files = [entry for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    assert files
    for entry in files:
        assert yaml.safe_load(entry.read_text(encoding="utf-8"))
