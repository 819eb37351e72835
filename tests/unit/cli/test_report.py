# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu report``."""

import os

import pytest

from nova_gpu_passthrough.cloud.report import html_page, snapshot
from nova_gpu_passthrough.errors import UserError
from tests.unit.cloud.report import fleets


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """The environment names a cloud, which receives no requests."""
    for name in list(os.environ):
        if name.startswith(("OS_", "NOVA_GPU_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", "/nonexistent/clouds.yaml")
    monkeypatch.setenv("OS_AUTH_URL", "http://cloud/identity/v3")


@pytest.fixture
def cloud(monkeypatch):
    """The result of reading the cloud, a snapshot or an exception, and the readings so far."""
    results, reads = [fleets.four()], []

    def take(connection, resolved=None, progress=None, names=True):
        assert names
        reads.append(results[0])
        if isinstance(results[0], Exception):
            raise results[0]
        return results[0]

    monkeypatch.setattr(snapshot, "take", take)
    return results, reads


def test_the_page_is_written_with_its_seal(nova_gpu, cloud, tmp_path):
    path = tmp_path / "gpus.html"
    assert nova_gpu("report", "--html", path) == (0, "", f"wrote {path} (20 GPUs)\n")
    lines = path.read_text().splitlines(keepends=True)
    assert lines[1] == f"<!-- Made by: nova-gpu report --html {path} -->\n"
    assert "".join([lines[0], *lines[3:]]) == html_page.render(fleets.four())


def test_a_generated_page_is_replaced(nova_gpu, cloud, tmp_path):
    path = tmp_path / "gpus.html"
    nova_gpu("report", "--html", path)
    cloud[0][:] = [fleets.one()]
    assert nova_gpu("report", "--html", path) == (0, "", f"wrote {path} (8 GPUs)\n")
    assert "gpu02" not in path.read_text()


def test_an_edited_page_is_not_replaced_and_the_cloud_is_not_read(nova_gpu, cloud, tmp_path):
    path = tmp_path / "gpus.html"
    path.write_text("<p>mine</p>")
    status, out, err = nova_gpu("report", "--html", path)
    assert (status, out) == (2, "")
    assert "add --force to replace it" in err
    assert path.read_text() == "<p>mine</p>"
    assert cloud[1] == []
    assert nova_gpu("report", "--html", path, "--force") == (0, "", f"wrote {path} (20 GPUs)\n")
    assert "GPU fleet" in path.read_text()


def test_a_directory_is_not_made_and_the_cloud_is_not_read(nova_gpu, cloud, tmp_path):
    path = tmp_path / "none" / "gpus.html"
    for options in ((), ("--force",)):
        status, out, err = nova_gpu("report", "--html", path, *options)
        assert (status, out) == (2, "")
        assert "there is no directory" in err
    assert cloud[1] == []
    assert os.listdir(tmp_path) == []


def test_nothing_is_written_if_the_cloud_cannot_be_read(nova_gpu, cloud, tmp_path):
    cloud[0][:] = [UserError("Nova is not there")]
    assert nova_gpu("report", "--html", tmp_path / "gpus.html") == (
        2,
        "",
        "nova-gpu: Nova is not there\n",
    )
    assert os.listdir(tmp_path) == []


def test_ctrl_c_writes_nothing(nova_gpu, cloud, monkeypatch, tmp_path):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(snapshot, "take", interrupted)
    status, out, err = nova_gpu("report", "--html", tmp_path / "gpus.html")
    assert (status, out, err) == (
        130,
        "",
        "nova-gpu: interrupted: nothing was changed in the cloud\n",
    )
    assert os.listdir(tmp_path) == []


def test_a_file_is_required(nova_gpu, cloud):
    status, _, err = nova_gpu("report")
    assert status == 2
    assert "--html" in err
