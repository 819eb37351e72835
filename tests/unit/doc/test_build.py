# SPDX-License-Identifier: Apache-2.0
"""The documentation builds without warnings, and its reference pages are complete."""

import json
import os
import re
import subprocess
import sys
from html import unescape
from importlib import metadata
from xml.etree import ElementTree

import pytest

from nova_gpu_passthrough import conf, extra_specs
from nova_gpu_passthrough.catalog import boards, models
from tests.checkout import ROOT

pytest.importorskip("sphinx")
SOURCE = ROOT / "doc" / "source"
SCHEMAS = sorted((ROOT / "nova_gpu_passthrough").rglob("*-v1.json"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the pages, and Sphinx's standard error."""
    folder = tmp_path_factory.mktemp("html")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-b", "html", str(SOURCE), str(folder)],
        capture_output=True,
        text=True,
        # Ignore warnings of the libraries that the reference imports; those of Sphinx remain.
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stderr


@pytest.fixture(scope="module")
def html(built):
    """The folder with the pages."""
    return built[0]


def test_there_are_no_warnings(built):
    assert not re.findall("^.*(?:WARNING|ERROR).*$", built[1], re.MULTILINE)


def _text(page):
    return unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_command_is_in_the_reference(html):
    text = _text(html / "reference" / "commands.html")
    names = [point.name for point in metadata.entry_points(group="nova_gpu_passthrough.cli")]
    assert names
    for name in names:
        assert f"nova-gpu {name.replace('_', ' ')}" in text


def test_every_option_is_in_the_reference(html):
    text = _text(html / "reference" / "options.html")
    assert [option.name for option in conf.OPTS if option.dest not in text] == []


def test_every_extra_spec_is_in_the_reference(html):
    text = _text(html / "reference" / "extra-specs.html")
    assert [one.name for one in extra_specs.register() if one.name not in text] == []


def test_every_model_and_board_is_in_the_reference(html):
    text = _text(html / "reference" / "catalogue.html")
    names = [*models.names(), *(board.name for board in boards.boards())]
    assert [name for name in names if name not in text] == []


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_key_of_a_schema_is_in_the_reference(html, schema):
    page = (html / "reference" / "schemas.html").read_text(encoding="utf-8")
    document = json.loads(schema.read_text(encoding="utf-8"))
    objects = [document, *document.get("$defs", {}).values()]
    keys = {key for one in objects for key in one.get("properties", {})}
    assert keys
    assert sorted(key for key in keys if f'<span class="pre">{key}</span>' not in page) == []


def test_the_image_is_in_the_page_and_well_formed(html):
    page = (html / "architecture.html").read_text(encoding="utf-8")
    (name,) = re.findall(r"_images/(\w+\.svg)", page)[:1]
    root = ElementTree.parse(html / "_images" / name).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.find("{http://www.w3.org/2000/svg}title").text


def test_pages_load_nothing_from_elsewhere(html):
    pages = list(html.rglob("*.html"))
    assert len(pages) > 20
    loaded = re.compile(r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=[\"'](?:https?:)?//[^>]*>")
    assert {path.name: loaded.findall(path.read_text(encoding="utf-8")) for path in pages} == {
        path.name: [] for path in pages
    }


def test_every_page_is_in_a_table_of_contents():
    pages = {path.relative_to(SOURCE).with_suffix("").as_posix() for path in SOURCE.rglob("*.rst")}
    listed = {"index"}
    for path in SOURCE.rglob("index.rst"):
        folder = path.parent.relative_to(SOURCE).as_posix()
        for name in re.findall(r"^   ([\w/-]+)$", path.read_text(encoding="utf-8"), re.MULTILINE):
            listed.add(name if folder == "." else f"{folder}/{name}")
    assert pages == listed
