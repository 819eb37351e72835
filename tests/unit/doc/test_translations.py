# SPDX-License-Identifier: Apache-2.0
"""The Chinese pages have the same commands and files as the English ones."""

import re

import pytest

from tests import documented
from tests.checkout import ROOT

PAGES = ROOT / "doc" / "source"
PAIRS = (
    (ROOT / "README.rst", ROOT / "README.zh_CN.rst"),
    (PAGES / "getting-started.rst", PAGES / "zh_CN" / "getting-started.rst"),
)
BOTH = pytest.mark.parametrize("english, chinese", PAIRS, ids=["readme", "getting-started"])
TITLE = re.compile(r"^[^\n]+\n([=-])\1{3,}$", re.MULTILINE)


def _shown(page):
    return [
        (block.language, block.caption, block.reason, block.text)
        for block in documented.blocks(page)
    ]


@BOTH
def test_blocks_are_the_same(english, chinese):
    assert len(_shown(english)) > 5
    assert _shown(chinese) == _shown(english)


@BOTH
def test_there_are_as_many_sections(english, chinese):
    titles = TITLE.findall(english.read_text(encoding="utf-8"))
    assert len(titles) > 4
    assert TITLE.findall(chinese.read_text(encoding="utf-8")) == titles


@BOTH
def test_the_translation_is_in_chinese(english, chinese):
    paragraphs = chinese.read_text(encoding="utf-8").count("。")
    assert paragraphs > 10
    assert "。" not in english.read_text(encoding="utf-8")
