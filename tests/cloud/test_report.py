# SPDX-License-Identifier: Apache-2.0
"""Metrics and the page of a real cloud; headless Chromium renders the page."""

import contextlib
import html
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nova_gpu_passthrough.cloud.report import availability
from nova_gpu_passthrough.inventory import store
from tests import cache
from tests.cloud import browser, servers
from tests.debian import Unavailable

_TIMEOUT = 60
_NAME = "<script>alert(1)</script> & co"
_FLAVOR = {
    "pci_passthrough:alias": "h100-sxm:2",
    "hw:cpu_policy": "dedicated",
    "hw:numa_nodes": "1",
    "hw:mem_page_size": "small",
    "hw:maxphysaddr_mode": "passthrough",
}
_FLEET = """
schema: nova-gpu-passthrough/fleet
version: 1
name: report-test
groups:
  - name: h100
    inventories: [{folder}/gpu01.yaml, {folder}/gpu02.yaml]
  - name: l40s
    inventories: [{folder}/gpu03.yaml]
hosts:
  - {{names: [gpu01], rack: r1, domains: {{room: a}}}}
  - {{names: [gpu02, gpu03], rack: r2, domains: {{room: a}}}}
"""


@pytest.fixture(scope="module")
def fleet(plane, tmp_path_factory):
    path = tmp_path_factory.mktemp("fleet") / "fleet.yaml"
    path.write_text(_FLEET.format(folder=plane.inventories[0].parent))
    return path


@pytest.fixture(scope="module")
def server(plane):
    """A server with two GPUs, whose name contains HTML."""
    with (
        plane.connection("admin") as admin,
        plane.connection("tenant") as tenant,
        servers.flavor(admin, "report-h100-2", 28, 200_000, _FLAVOR) as flavor,
        servers.server(tenant, flavor, _NAME) as made,
    ):
        assert made.status == "ACTIVE"
        yield admin.compute.get_server(made)


@pytest.fixture(scope="module")
def nova_gpu(plane):
    def command(*arguments):
        program = Path(sys.executable).with_name("nova-gpu")
        return [program, *map(str, arguments)]

    return command


@pytest.fixture(scope="module")
def run(plane, nova_gpu):
    def done(*arguments, cloud="admin"):
        return subprocess.run(
            nova_gpu(*arguments),
            env=plane.environment(cloud),
            cwd=cache.ROOT,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
        )

    return done


@pytest.fixture(scope="module")
def gpus(plane):
    """Return the number of GPUs of the hosts."""
    return sum(len(store.load(path).gpus) for path in plane.inventories)


@pytest.fixture(scope="module")
def page(run, fleet, server, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "gpus.html"
    done = run("report", "--fleet", fleet, "--html", path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return path


def _samples(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _count(samples, name, **labels):
    return sum(
        value
        for (found, *rest), value in samples.items()
        if found == name and labels.items() <= dict(rest).items()
    )


def _check(samples, gpus, host):
    assert _count(samples, "nova_gpu_devices") == gpus
    assert _count(samples, "nova_gpu_devices", state="in-use", host=host) == 2
    assert _count(samples, "nova_gpu_device_state") == gpus
    assert _count(samples, "nova_gpu_host_gpu_servers", host=host) == 1
    assert _count(samples, "nova_gpu_flavor_gpus", flavor="report-h100-2") == 2
    assert _count(samples, "nova_gpu_numa_node_pinned_cpus_capacity", host=host) == 120
    # Free resources by Nova's NUMA topologies of guests, and by Placement's inventory of the host.
    free = _count(samples, "nova_gpu_numa_node_pinned_cpus_free", host=host)
    assert free == _count(samples, "nova_gpu_host_pcpus_free", host=host) <= 120 - 28
    assert _count(samples, "nova_gpu_host_domain_info", host=host, level="room", domain="a") == 1
    assert _count(samples, "nova_gpu_servers", status="ACTIVE") == 1
    assert _count(samples, "nova_gpu_read_success") == 1


def test_metrics_tell_of_the_cloud(run, fleet, server, gpus, tmp_path):
    path = tmp_path / "gpu.prom"
    done = run("metrics", "--fleet", fleet, "--textfile", path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    _check(_samples(path.read_text()), gpus, server.hypervisor_hostname)
    assert os.listdir(tmp_path) == [path.name]


def test_metrics_are_served_until_sigterm(plane, nova_gpu, fleet, server, gpus):
    process = subprocess.Popen(
        nova_gpu("metrics", "--fleet", fleet, "--listen", "127.0.0.1:0", "--interval", "1"),
        env=plane.environment("admin"),
        cwd=cache.ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    with contextlib.closing(process.stderr), process:
        try:
            url = process.stderr.readline().split()[-1]
            samples = {}
            while not _count(samples, "nova_gpu_read_success"):
                assert process.poll() is None
                with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
                    samples = _samples(answer.read().decode())
            _check(samples, gpus, server.hypervisor_hostname)
            process.send_signal(signal.SIGTERM)
            assert process.wait(_TIMEOUT) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("cloud", "command"), [("tenant", ("report", "--html", "never.html")), ("reader", ("metrics",))]
)
def test_others_than_administrators_are_told_so_in_one_sentence(run, tmp_path, command, cloud):
    words = [str(tmp_path / word) if word.endswith(".html") else word for word in command]
    done = run(*words, cloud=cloud)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "role admin" in done.stderr
    assert os.listdir(tmp_path) == []


def test_the_page_in_a_browser(page, gpus, server, tmp_path):
    try:
        browser.program()
    except Unavailable as error:
        pytest.skip(str(error))
    seen, console = browser.look(page, (1280, 390), host_filter=_NAME)
    assert console == []
    for window in seen:
        assert window.needed <= window.width
        assert window.tiles == window.drawn == gpus
        assert window.hosts == [server.hypervisor_hostname]
        assert window.racks == 1
    (night,), console = browser.look(page, (1280,), dark=True)
    assert console == []
    assert len(night.hosts) == 3
    # gpu02 and gpu03 are of two groups.
    assert night.racks == 3
    assert night.paper != seen[0].paper
    image = tmp_path / "page.png"
    browser.screenshot(page, image, 1280, 1200)
    assert browser.colours(image) > 100


def test_a_page_for_everyone_names_nobody(plane, run, fleet, page, server, tmp_path):
    with plane.connection("admin") as admin:
        names = [
            admin.identity.get_user(server.user_id).name,
            admin.identity.get_project(server.project_id).name,
            server.hypervisor_hostname,
            html.escape(_NAME),
        ]
        flavor = admin.compute.find_flavor("report-h100-2")
    text = page.read_text()
    assert [name for name in names if f"<bdi>{name}</bdi>" not in text] == []
    public, document = tmp_path / "public.html", tmp_path / "free.json"
    done = run("report", "--fleet", fleet, "--public", "--html", public, "--json", document)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    for text in (public.read_text(), document.read_text()):
        assert [name for name in names if f">{name}<" in text] == []
        assert server.id not in text
        assert server.project_id not in text
        found = availability.parse(text, "text")
        assert {model.model for model in found.models} == {"H100-SXM", "L40S"}
        # The flavor is public.
        assert found.of_flavor(flavor.id).name == "report-h100-2"
        assert found.of_flavor(flavor.id).gpus == 2


def test_a_page_that_was_edited_is_kept(run, fleet, page):
    text = page.read_text()
    page.write_text(text.replace("</h1>", " (mine)</h1>"))
    done = run("report", "--fleet", fleet, "--html", page)
    assert done.returncode == 2
    assert "--force" in done.stderr
    assert "(mine)" in page.read_text()
    page.write_text(text)
