# SPDX-License-Identifier: Apache-2.0
"""Contrast of the page's colours (WCAG 2.2, 1.4.3 and 1.4.11)."""

import re

import pytest

from nova_gpu_passthrough.cloud.report import html_page

_COLOUR = re.compile(r"--([a-z-]+): #([0-9a-f]{6}|[0-9a-f]{3});")
STYLE = str(html_page._asset("style.css"))
LIGHT, DARK = (
    dict(_COLOUR.findall(block)) for block in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[:2]
)


def _luminance(colour):
    if len(colour) == 3:
        colour = "".join(digit * 2 for digit in colour)
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _contrast(first, second):
    low, high = sorted(map(_luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_computed_by_the_standard():
    assert _contrast("000", "ffffff") == pytest.approx(21)
    assert _contrast("777777", "fff") == pytest.approx(4.48, abs=0.01)


def test_dark_has_every_colour_of_light():
    assert LIGHT.keys() == DARK.keys()
    assert set(re.findall(r"var\(--([a-z-]+)\)", STYLE)) == LIGHT.keys()


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        *((text, ground) for text in ("text", "dim") for ground in ("paper", "card", "box")),
        ("stuck", "card"),
        ("used", "card"),
        ("reserved", "card"),
        ("used-text", "used"),
    ],
)
def test_texts_have_enough_contrast(colours, text, ground):
    assert _contrast(colours[text], colours[ground]) >= 4.5


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(
    "name", ["free", "stranded", "used", "reserved", "stuck", "missing", "bar"]
)
@pytest.mark.parametrize("ground", ["paper", "card", "box"])
def test_tiles_have_enough_contrast(colours, name, ground):
    assert _contrast(colours[name], colours[ground]) >= 3
