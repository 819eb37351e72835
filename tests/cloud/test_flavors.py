# SPDX-License-Identifier: Apache-2.0
"""Generated flavors on a real control plane: a host takes as many servers as planned."""

import contextlib
import json
import shutil
import subprocess

import pytest

from tests.cloud import commands, servers

#: Flavors of tests have 10 GiB of disk; a prefix separates them from those of other tests.
_FLEET = """\
schema: nova-gpu-passthrough/fleet
version: 1
name: acceptance
groups: [{{name: all, inventories: [{inventories}]}}]
flavors:
  - {{model: H100-SXM, counts: [8], name: "filling.{{alias}}.{{count}}"}}
  - {{model: L40S, name: "filling.{{alias}}.{{count}}"}}
"""


@pytest.fixture(scope="module")
def generated(plane, tmp_path_factory):
    """Return the list of ``openstack gpu flavor generate``, by name."""
    fleet = tmp_path_factory.mktemp("fleet") / "fleet.yaml"
    # Hosts without GPUs have no devices to pass through.
    paths = [path for path in plane.inventories if path.stem.startswith("gpu")]
    fleet.write_text(_FLEET.format(inventories=", ".join(map(str, paths))))
    done = subprocess.run(
        ["openstack", "gpu", "flavor", "generate", "--fleet", fleet, "--long", "-f", "json"],
        env=plane.environment("reader"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {row["Name"]: row for row in json.loads(done.stdout)}


@pytest.mark.parametrize("gpus", ["l40s.2"])
def test_as_many_servers_boot_as_fill_the_hosts(plane, generated, gpus):
    row = generated[f"filling.{gpus}"]
    expected = sum(one["servers"] * len(one["hosts"]) for one in row["Stranded"])
    with contextlib.ExitStack() as stack:
        admin = stack.enter_context(plane.connection("admin"))
        tenant = stack.enter_context(plane.connection("tenant"))
        flavor = stack.enter_context(
            servers.flavor(admin, row["Name"], row["vCPUs"], row["RAM MiB"], row["Extra Specs"])
        )
        found = [
            stack.enter_context(servers.server(tenant, flavor, f"filling-{number}"))
            for number in range(expected + 1)
        ]
        assert [server.status for server in found] == ["ACTIVE"] * expected + ["ERROR"]


#: Two groups with equal hosts; the flavor is for one of them.
_GROUPS = """\
schema: nova-gpu-passthrough/fleet
version: 1
name: kept
settings: {{release: 34}}
groups:
  - {{name: training, inventories: [{folder}/gpu01.yaml]}}
  - {{name: research, inventories: [{folder}/gpu02.yaml]}}
flavors:
  - model: H100-SXM
    name: "kept.{{alias}}.{{count}}"
    groups: [training]
    counts: [8]
    disk_gib: 10
    public: true
"""


@pytest.fixture
def grouped(plane, tmp_path):
    """Write the fleet file, configure the host of its first group, and create the flavors."""
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(_GROUPS.format(folder=plane.inventories[0].parent))
    made = commands.nova_gpu(
        plane, "config", "generate", "--fleet", fleet, "--write", tmp_path / "out"
    )
    assert made.returncode == 0, made.stderr
    name = "etc/nova/provider_config"
    place = plane.config / "gpu01" / name
    try:
        shutil.copytree(tmp_path / "out/gpu01" / name, place)
        plane.restart("nova-compute-gpu01")
        with commands.applied(plane, fleet):
            yield fleet
    finally:
        shutil.rmtree(place)
        plane.restart("nova-compute-gpu01")


def test_a_flavor_of_a_host_group_boots_on_its_hosts_only(plane, grouped):
    with (
        plane.connection("admin") as admin,
        plane.connection("tenant") as tenant,
        contextlib.ExitStack() as stack,
    ):
        flavor = tenant.compute.find_flavor("kept.h100-sxm.8", ignore_missing=False)
        first, second = (
            stack.enter_context(servers.server(tenant, flavor, f"kept-{number}"))
            for number in range(2)
        )
        assert (first.status, second.status) == ("ACTIVE", "ERROR")
        assert admin.compute.get_server(first).hypervisor_hostname == "gpu01"
        # The group alone excludes the other host: all its GPUs are free.
        done = commands.nova_gpu(
            plane, "explain", "--fleet", grouped, "-f", "json", "kept.h100-sxm.8"
        )
        answers = {row["Host"]: row["Limited By"] for row in json.loads(done.stdout)}
        assert answers["gpu02"] == ["traits"]
