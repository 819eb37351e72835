# SPDX-License-Identifier: Apache-2.0
"""The virtual server runs jobs, keeps its disk, and reports failures."""

import re
import subprocess

import pytest

from tests.gpu_host.server import BootFailure, GpuServer, JobFailure
from tests.gpu_host.topology import SMALL_SERVER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SLEEPING = "#!/bin/sh\nsleep 3600\n"
#: Seconds for firmware and the first kernel messages; the job never ends within them. The longer
#: ones are for busy machines.
LIMITS = (8, 32, 128, 512)
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
    for limit in LIMITS:
        with pytest.raises(BootFailure, match=f"limit of {limit} s") as failure:
            small.boot(SLEEPING, limit=limit)
        running = subprocess.run(
            ["pgrep", "--full", f"{small.folder}/disk"], capture_output=True, text=True
        )
        assert running.stdout == ""
        if re.search(r"\n(.*\n)*.*\[ +\d+\.\d+\]", str(failure.value)):
            return
    pytest.fail(f"the error has no kernel message: {failure.value}")


def test_the_error_contains_qemus_message(small, monkeypatch):
    monkeypatch.setattr(small, "initramfs", small.folder / "missing")
    with pytest.raises(BootFailure, match="QEMU failed: .*missing"):
        small.boot(SLEEPING)
