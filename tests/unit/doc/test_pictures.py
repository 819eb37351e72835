# SPDX-License-Identifier: Apache-2.0
"""README and documentation begin with pictures, in light and dark."""

import re

import pytest

from tests.checkout import ROOT

IMAGES = ROOT / "doc" / "source" / "images"
NAMES = ("report", "simulation")
READMES = ("README.rst", "README.zh_CN.rst")
#: Bytes of a picture that loads at once.
MOST = 150_000
IMAGE = re.compile(r"^\.\. image:: (\S+)\n   :alt: \S", re.MULTILINE)


@pytest.mark.parametrize("readme", READMES)
def test_a_readme_begins_with_pictures_for_both_modes(readme):
    text = (ROOT / readme).read_text(encoding="utf-8")
    head = text[: re.search(r"\n=+\n\n(?=[^=]*\n=+\n)", text[100:]).start() + 100]
    expected = [
        f"doc/source/images/{name}-{mode}.png#gh-{mode}-mode-only"
        for name in NAMES
        for mode in ("light", "dark")
    ]
    assert IMAGE.findall(head) == expected


def test_the_documentation_begins_with_pictures():
    text = (ROOT / "doc/source/index.rst").read_text(encoding="utf-8")
    found = re.findall(r"^\.\. figure:: (\S+)\n   :alt: \S", text.partition("toctree")[0], re.M)
    assert found == [f"images/{name}-light.png" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_small_alike_and_tell_nothing_about_the_machine(name):
    light, dark = ((IMAGES / f"{name}-{mode}.png").read_bytes() for mode in ("light", "dark"))
    # Width and height of a PNG.
    assert light[16:24] == dark[16:24]
    assert light != dark
    for data in (light, dark):
        assert data.startswith(b"\x89PNG")
        assert len(data) < MOST
        # Texts, the time and the place of a picture.
        assert not {b"tEXt", b"iTXt", b"zTXt", b"tIME", b"eXIf"} & set(_chunks(data))


def _chunks(data):
    at = 8
    while at < len(data):
        yield data[at + 4 : at + 8]
        at += 12 + int.from_bytes(data[at : at + 4])
