# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu explain`` on a real control plane: its reasons are those of the scheduler."""

import contextlib
import json
import re

import pytest

from tests.cloud import commands, servers

_PINNED = {
    "hw:cpu_policy": "dedicated",
    "hw:numa_nodes": "1",
    "hw:pci_numa_affinity_policy": "required",
}
#: Extra specs by flavor, with vCPUs, and constraints, component and start of the detail on gpu01.
_REFUSED = {
    "far": (
        4,
        _PINNED | {"pci_passthrough:alias": "h100-sxm:5"},
        (["numa"], "GpuPassthroughFilter", "free GPUs are not on allowed NUMA nodes: "),
    ),
    "switch": (
        4,
        {"pci_passthrough:alias": "h100-sxm:4", "gpu:switch": "required"},
        (["switch"], "GpuPassthroughFilter", "free GPUs are not behind one PCIe switch: "),
    ),
    "pages": (
        4,
        _PINNED | {"pci_passthrough:alias": "h100-sxm:1", "hw:mem_page_size": "1GB"},
        (["numa"], "NUMATopologyFilter", ""),
    ),
    "large": (
        500,
        _PINNED | {"pci_passthrough:alias": "h100-sxm:1"},
        (["vcpus"], "Placement", "PCPU: 500 requested, "),
    ),
    "nine": (
        500,
        _PINNED | {"pci_passthrough:alias": "h100-sxm:9"},
        (["gpus", "vcpus"], "Placement", "CUSTOM_GPU_H100_SXM: 9 requested, 8 free; PCPU: 500 "),
    ),
}


@pytest.fixture(scope="module")
def explain(plane, tmp_path_factory):
    """Return rows by host, and the notes."""
    fleet = commands.write_fleet(plane, tmp_path_factory.mktemp("fleet"), "why")

    def run(name):
        done = commands.nova_gpu(plane, "explain", "--fleet", fleet, "-f", "json", name)
        assert done.returncode == 0, done.stderr
        return {row["Host"]: row for row in json.loads(done.stdout)}, done.stderr.splitlines()

    return run


@pytest.fixture(scope="module")
def boot(plane):
    """Boot a tenant's server with its own flavor."""

    @contextlib.contextmanager
    def run(name, vcpus, extra_specs):
        with (
            plane.connection("admin") as admin,
            plane.connection("tenant") as tenant,
            servers.flavor(admin, f"why.{name}", vcpus, 8192, extra_specs) as flavor,
            servers.server(tenant, flavor, f"why-{name}") as server,
        ):
            yield server

    return run


def _as_logged(plane, server):
    """Return what GpuPassthroughFilter logged about a server: its sentence, and details by host."""
    text = (plane.directory / "log/nova-scheduler.log").read_text()
    sentences = re.findall(rf" INFO .*(GPU request .*) of server {server.id}(: .*)", text)
    refusals = re.findall(
        rf"Host (\S+) refused for GPU request .* of server {server.id}: .*? \((.*)\)", text
    )
    return {"".join(one) for one in sentences}, dict(refusals)


@pytest.mark.parametrize("name", _REFUSED)
def test_a_refusal_is_the_schedulers(plane, explain, boot, name):
    vcpus, extra_specs, (constraints, component, words) = _REFUSED[name]
    with boot(name, vcpus, extra_specs) as server:
        assert server.status == "ERROR"
        rows, notes = explain(server.id)
        assert rows["gpu01"]["Limited By"] == constraints
        assert rows["gpu01"]["Refused By"] == component
        assert rows["gpu01"]["Detail"].startswith(words)
        assert {row["Answer"] for row in rows.values()} == {"refused"}
        assert "ERROR on no host: No valid host was found" in notes[-3]
        sentences, refusals = _as_logged(plane, server)
        if sentences:
            assert sentences == {notes[-1].removeprefix("nova-scheduler would log: ")}
        else:
            assert notes[-1] == "nova-scheduler would find no host: Placement returns none"
        for host, detail in refusals.items():
            assert f": {detail}" in rows[host]["Detail"]
        # Explaining the flavor gives the same result.
        assert explain(f"why.{name}")[0] == rows


def test_a_server_is_where_it_is_with_its_devices(plane, explain, boot):
    extra_specs = _PINNED | {"pci_passthrough:alias": "h100-sxm:2", "gpu:link": "required"}
    with boot("here", 8, extra_specs) as server, plane.connection("admin") as admin:
        assert server.status == "ACTIVE"
        rows, notes = explain("why-here")
        host = admin.compute.get_server(server).hypervisor_hostname
        assert rows[host]["Answer"] == "here"
        assert f"is ACTIVE on {host}" in notes[0]
        allocated = {
            admin.placement.get_resource_provider(provider).name.lower()
            for provider in admin.placement.get(f"/allocations/{server.id}").json()["allocations"]
        }
        devices = re.findall(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", rows[host]["Detail"])
        assert allocated == {host, *(f"{host}_{address}" for address in devices)}
        # Two empty hosts are alike, so either one is correct.
        (other,) = {"gpu01", "gpu02"} - {host}
        assert rows[other]["Answer"] == "fits"
        assert rows["gpu03"]["Limited By"] == ["gpus"]
        sentence = "GPU request h100-sxm:2 link=required: 2 of 2 hosts fit"
        assert _as_logged(plane, server) == ({sentence}, {})
