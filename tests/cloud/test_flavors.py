# SPDX-License-Identifier: Apache-2.0
"""Generated flavors on a real control plane: as many servers fill a host as the plan says."""

import contextlib
import json
import subprocess

import pytest

from tests.cloud import servers

#: 10 GiB is the disk of the tests' flavors; a prefix keeps them apart from other tests'.
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
    """What ``openstack gpu flavor generate`` lists, by name."""
    fleet = tmp_path_factory.mktemp("fleet") / "fleet.yaml"
    # Hosts without GPUs have nothing to pass through.
    paths = [path for path in plane.inventories if path.stem.startswith("gpu")]
    fleet.write_text(_FLEET.format(inventories=", ".join(map(str, paths))))
    done = subprocess.run(
        ["openstack", "gpu", "flavor", "generate", "--fleet", fleet, "-f", "json"],
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
