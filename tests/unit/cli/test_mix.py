# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu mix`` with a fake cloud."""

import pytest

from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass
from nova_gpu_passthrough.policies import mix
from tests.unit.cli.clouds import cloud as cloud
from tests.unit.cli.clouds import named as named
from tests.unit.cli.test_capacity import fleet as fleet
from tests.unit.cli.test_capacity import hosts as hosts

TRAIN = RequestClass("gpu.2", 2, "L40S", 0, 4, 2048, 1, 1, GpuLocality.LOCAL)


@pytest.fixture
def run(nova_gpu, fleet, hosts):
    """Run the command; the cloud has one server with two GPUs."""

    def run(*arguments):
        return nova_gpu("--os-cloud", "test", "mix", "--fleet", str(fleet), *arguments)

    return run


def test_the_mix_is_printed(run, tmp_path):
    status, out, err = run()
    assert (status, err) == (0, "")
    path = tmp_path / "mix.yaml"
    path.write_text(out)
    assert mix.load(path) == {TRAIN: 1}


def test_a_file_is_written_and_replaced_unless_it_was_edited(run, tmp_path):
    path = tmp_path / "mix.yaml"
    assert run("--write", str(path)) == (0, "", f"wrote {path} (1 server)\n")
    assert path.read_text().startswith("# Made by: nova-gpu mix --write ")
    assert mix.load(path) == {TRAIN: 1}
    assert run("--write", str(path))[0] == 0
    path.write_text(path.read_text().replace("count: 1", "count: 7"))
    status, _, err = run("--write", str(path))
    assert status == 2
    assert "edited since it was generated" in err
    assert mix.load(path) == {TRAIN: 7}
    assert run("--write", str(path), "--force")[0] == 0
    assert mix.load(path) == {TRAIN: 1}


def test_without_servers_there_is_no_mix(run, named):
    named.nova.servers.clear()
    status, out, err = run()
    assert (status, out) == (2, "")
    assert "has GPUs by an alias of the fleet" in err


def test_a_fleet_file_is_required(nova_gpu, named):
    status, _, err = nova_gpu("--os-cloud", "test", "mix")
    assert status == 2
    assert "--fleet" in err
