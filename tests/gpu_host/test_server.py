# SPDX-License-Identifier: Apache-2.0
"""The virtual server runs jobs, keeps its disk, and reports failures."""

import subprocess

import pytest

from tests.gpu_host.server import BootFailure, GpuServer, JobFailure
from tests.gpu_host.topology import SMALL_SERVER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SLEEPING = "#!/bin/sh\nsleep 600\n"
#: Enough for firmware and the first kernel messages, but not for the job.
SHORT = 8
JOB = """#!/bin/sh
cat input/name
echo seen > output
echo 'GRUB_CMDLINE_LINUX="kept=1"' >> /etc/default/grub
nova-gpu --version || exit
exit 3
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return GpuServer(tmp_path_factory.mktemp("small"), SMALL_SERVER)


def test_a_job_has_its_files_the_command_and_the_kept_disk(small):
    result = small.boot(JOB, files={"input/name": "a file\n"})
    assert result.status == 3, result.stderr
    assert result.stdout.startswith("a file\nnova-gpu ")
    assert result.read("output") == "seen\n"
    with pytest.raises(JobFailure, match="status 3"):
        result.check()
    small.update_boot()
    assert small.command_line == "kept=1"
    assert small.initramfs.stat().st_size > 1 << 20


def test_a_boot_is_stopped_at_its_limit_with_the_consoles_last_lines(small):
    with pytest.raises(BootFailure, match=rf"limit of {SHORT} s\n(.*\n)*.*\[ +\d+\.\d+\]"):
        small.boot(SLEEPING, limit=SHORT)
    running = subprocess.run(
        ["pgrep", "--full", f"{small.folder}/disk"], capture_output=True, text=True
    )
    assert running.stdout == ""


def test_the_error_contains_qemus_message(small, monkeypatch):
    monkeypatch.setattr(small, "initramfs", small.folder / "missing")
    with pytest.raises(BootFailure, match="QEMU failed: .*missing"):
        small.boot(SLEEPING)
