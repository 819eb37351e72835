# SPDX-License-Identifier: Apache-2.0
import os
import socket
import subprocess
import sys

import pytest

from nova_gpu_passthrough.cloud.lint.configuration import running
from nova_gpu_passthrough.cloud.lint.configuration.services import Role
from nova_gpu_passthrough.errors import UserError

SLEEPS = "import sys\nprint('here', flush=True)\nsys.stdin.read()\n"


@pytest.fixture
def process(tmp_path):
    """Add a process to a stand-in of /proc, with a ``/`` of its own, as in a container."""

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
def found(tmp_path):
    return lambda: running.find(tmp_path / "proc")


NOVA = {
    "etc/nova/nova.conf": "[filter_scheduler]\nenabled_filters = Mine\n",
    "etc/nova/nova.conf.d/90.conf": "[filter_scheduler]\nenabled_filters = Generated\n",
}


@pytest.mark.parametrize(
    "words, counts",
    [
        ((), "Generated"),
        (("--config-file=/etc/nova/nova.conf",), "Mine"),
        (
            ("--config-file=/etc/nova/nova.conf", "--config-dir", "/etc/nova/nova.conf.d"),
            "Generated",
        ),
    ],
)
def test_what_counts_is_what_the_command_line_has_read_last(process, found, words, counts):
    process(12, "/usr/bin/python3", "/usr/bin/nova-scheduler", *words, files=NOVA)
    (service,) = found()
    assert service.roles == (Role.SCHEDULER,)
    assert service.configuration.text("filter_scheduler", "enabled_filters") == counts


def test_a_service_that_titles_its_processes_is_found_once(process, found):
    """As those of Nova do: the first process has its command line in brackets, then blanks."""
    line = "/opt/venv/bin/nova-scheduler --config-file /etc/nova/nova.conf"
    process(12, f"nova-scheduler: master process [{line}]", "", "", files=NOVA)
    process(13, "nova-scheduler: ServiceWrapper worker(0)", "", files=NOVA)
    (service,) = found()
    assert service.configuration.text("filter_scheduler", "enabled_filters") == "Mine"


def test_a_service_is_on_the_host_that_its_configuration_names(process, found):
    process(12, "nova-compute", files={"etc/nova/nova.conf": "[DEFAULT]\nhost = gpu01\n"})
    process(13, "nova-conductor", files={"etc/nova/nova.conf": "[DEFAULT]\ndebug = true\n"})
    assert {service.name for service in found()} == {
        "nova-compute@gpu01",
        f"nova-conductor@{socket.gethostname()}",
    }


def test_relative_paths_are_those_of_the_process(process, found):
    folder = process(12, "nova-compute", "--config-file", "my.conf")
    (folder / "cwd").mkdir()
    (folder / "cwd" / "my.conf").write_text("[DEFAULT]\nhost = here\n")
    (service,) = found()
    assert service.host == "here"


def test_programs_that_are_no_services_and_those_that_ended_are_passed_over(process, found):
    process(12, "bash")
    folder = process(13, "nova-compute")
    (folder / "cmdline").unlink()
    process(14, "nova-scheduler")
    assert [service.roles for service in found()] == [(Role.SCHEDULER,)]


def test_a_machine_without_services_is_told(process, found):
    process(12, "bash")
    with pytest.raises(UserError, match="none of nova-api, nova-conductor, .* runs on this"):
        found()


@pytest.mark.skipif(not os.access("/proc/self/cmdline", os.R_OK), reason="there is no /proc")
def test_a_process_of_this_machine_is_found_with_its_workers_as_one(tmp_path):
    program, file = tmp_path / "nova-conductor", tmp_path / "my.conf"
    program.write_text(SLEEPS)
    file.write_text("[DEFAULT]\nhost = found-by-the-test\n")
    command = [sys.executable, str(program), "--config-file", str(file)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as other:
        assert (one.stdout.readline(), other.stdout.readline()) == (b"here\n", b"here\n")
        mine = [service for service in running.find() if service.host == "found-by-the-test"]
        one.stdin.close()
        other.stdin.close()
    (service,) = mine
    assert service.roles == (Role.CONDUCTOR,)
    assert service.configuration.files[-1] == file
