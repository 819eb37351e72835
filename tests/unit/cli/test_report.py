# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu report``."""

import json
import os

import pytest

from nova_gpu_passthrough.cloud.report import (
    availability,
    fleet_status,
    html_page,
    snapshot,
    status_reading,
    tables,
)
from nova_gpu_passthrough.cloud.report.status_reading import StatusReading
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
    results, reads, named = [fleets.four()], [], []

    def take(connection, resolved=None, progress=None, names=True):
        named.append(names)
        reads.append(results[0])
        if isinstance(results[0], Exception):
            raise results[0]
        return results[0]

    def of_snapshot(connection, taken, resolved=None, progress=None):
        return StatusReading(fleet_status.make(taken), tuple(tables.notes(taken)))

    monkeypatch.setattr(snapshot, "take", take)
    monkeypatch.setattr(status_reading, "of_snapshot", of_snapshot)
    return results, reads, named


def test_the_page_is_written_with_its_seal(nova_gpu, cloud, tmp_path):
    path = tmp_path / "gpus.html"
    assert nova_gpu("report", "--html", path) == (0, "", f"wrote {path} (20 GPUs)\n")
    assert cloud[2] == [True]
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
    status, _, err = nova_gpu("report", "--public")
    assert status == 2
    assert "no file was named: give --html FILE, --json FILE or both" in err
    assert cloud[1] == []


def test_a_public_page_has_the_document_and_no_names(nova_gpu, cloud, tmp_path):
    path = tmp_path / "gpus.html"
    assert nova_gpu("report", "--public", "--html", path)[0] == 0
    text = path.read_text()
    # Names are not even read.
    assert cloud[2] == [False]
    assert f"<!-- Made by: nova-gpu report --html {path} --public -->" in text
    assert "train-1" not in text
    assert availability.parse(text, "x") == availability.build(fleets.four())
    assert nova_gpu("report", "--public", "--html", path)[0] == 0


def test_the_document_is_written_beside_the_page_or_alone(nova_gpu, cloud, tmp_path):
    page, document = tmp_path / "gpus.html", tmp_path / "gpus.json"
    status, out, err = nova_gpu("report", "--html", page, "--json", document)
    assert (status, out) == (0, "")
    assert err == f"wrote {page} (20 GPUs)\nwrote {document} (2 models, 4 flavors)\n"
    assert "train-1" in page.read_text()
    assert json.loads(document.read_text())["schema"] == availability.SCHEMA
    cloud[0][:] = [fleets.one()]
    assert nova_gpu("report", "--json", document)[0] == 0
    assert cloud[2] == [True, False]
    found = availability.parse(document.read_text(), "x")
    assert found == availability.build(fleets.one())


def test_another_file_is_not_replaced_by_the_document(nova_gpu, cloud, tmp_path):
    path = tmp_path / "package.json"
    path.write_text('{"name": "mine"}')
    status, _, err = nova_gpu("report", "--json", path)
    assert status == 2
    assert f"{path}: not a document that nova-gpu report wrote; nothing was written" in err
    assert path.read_text() == '{"name": "mine"}'
    assert cloud[1] == []
    assert nova_gpu("report", "--json", path, "--force")[0] == 0
    assert availability.is_document(path.read_text())
