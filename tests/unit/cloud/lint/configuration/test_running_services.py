# SPDX-License-Identifier: Apache-2.0
import os
import socket
import subprocess
import sys

import pytest

from nova_gpu_passthrough.cloud.lint.configuration import running_services
from nova_gpu_passthrough.cloud.lint.configuration.services import ServiceRole
from nova_gpu_passthrough.errors import UserError

SLEEPS = "import sys\nprint('here', flush=True)\nsys.stdin.read()\n"


@pytest.fixture
def process(tmp_path):
    """Add a process to a simulated /proc, with its own ``/`` as in a container."""

    def add(number, *words, files=()):
        folder = tmp_path / "proc" / str(number)
        for path, text in dict(files).items():
            place = folder / "root" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        (folder / "root").mkdir(parents=True, exist_ok=True)
        (folder / "cmdline").write_bytes("".join(f"{word}\0" for word in words).encode())
        return folder

    (tmp_path / "proc" / "self").mkdir(parents=True)
    return add


@pytest.fixture
def running(tmp_path):
    return lambda: running_services.find(tmp_path / "proc")


NOVA = {
    "etc/nova/nova.conf": "[filter_scheduler]\nenabled_filters = Mine\n",
    "etc/nova/nova.conf.d/90.conf": "[filter_scheduler]\nenabled_filters = Generated\n",
}


@pytest.mark.parametrize(
    "words, effective",
    [
        ((), "Generated"),
        (("--config-file=/etc/nova/nova.conf",), "Mine"),
        (
            ("--config-file=/etc/nova/nova.conf", "--config-dir", "/etc/nova/nova.conf.d"),
            "Generated",
        ),
    ],
)
def test_the_file_that_the_command_line_reads_last_applies(process, running, words, effective):
    process(12, "/usr/bin/python3", "/usr/bin/nova-scheduler", *words, files=NOVA)
    (service,) = running()
    assert service.roles == (ServiceRole.SCHEDULER,)
    assert service.configuration.text("filter_scheduler", "enabled_filters") == effective


def test_a_service_with_process_titles_is_found_once(process, running):
    """As in Nova: the first process has its command line in brackets, then blanks."""
    line = "/opt/venv/bin/nova-scheduler --config-file /etc/nova/nova.conf"
    process(12, f"nova-scheduler: master process [{line}]", "", "", files=NOVA)
    process(13, "nova-scheduler: ServiceWrapper worker(0)", "", files=NOVA)
    (service,) = running()
    assert service.configuration.text("filter_scheduler", "enabled_filters") == "Mine"


def test_a_service_belongs_to_the_host_in_its_configuration(process, running):
    process(12, "nova-compute", files={"etc/nova/nova.conf": "[DEFAULT]\nhost = gpu01\n"})
    process(13, "nova-conductor", files={"etc/nova/nova.conf": "[DEFAULT]\ndebug = true\n"})
    assert {service.name for service in running()} == {
        "nova-compute@gpu01",
        f"nova-conductor@{socket.gethostname()}",
    }


def test_relative_paths_are_resolved_in_the_directory_of_the_process(process, running):
    folder = process(12, "nova-compute", "--config-file", "my.conf")
    (folder / "cwd").mkdir()
    (folder / "cwd" / "my.conf").write_text("[DEFAULT]\nhost = here\n")
    (service,) = running()
    assert service.host == "here"


def test_other_programs_and_ended_processes_are_ignored(process, running):
    process(12, "bash")
    folder = process(13, "nova-compute")
    (folder / "cmdline").unlink()
    process(14, "nova-scheduler")
    assert [service.roles for service in running()] == [(ServiceRole.SCHEDULER,)]


def test_a_machine_without_services_is_refused(process, running):
    process(12, "bash")
    with pytest.raises(UserError, match="none of nova-api, nova-conductor, .* runs on this"):
        running()


@pytest.mark.skipif(not os.access("/proc/self/cmdline", os.R_OK), reason="there is no /proc")
def test_a_process_of_this_machine_is_found_with_its_workers_as_one(tmp_path):
    program, file = tmp_path / "nova-conductor", tmp_path / "my.conf"
    program.write_text(SLEEPS)
    file.write_text("[DEFAULT]\nhost = found-by-the-test\n")
    command = [sys.executable, str(program), "--config-file", str(file)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as other:
        assert (one.stdout.readline(), other.stdout.readline()) == (b"here\n", b"here\n")
        mine = [
            service for service in running_services.find() if service.host == "found-by-the-test"
        ]
        one.stdin.close()
        other.stdin.close()
    (service,) = mine
    assert service.roles == (ServiceRole.CONDUCTOR,)
    assert service.configuration.files[-1] == file
