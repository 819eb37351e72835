# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oslo_config import cfg

from nova_gpu_passthrough.cloud.lint.configuration import parser
from nova_gpu_passthrough.errors import UserError


def write(tmp_path, text):
    path = tmp_path / "nova.conf"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_assignment_has_its_line(tmp_path):
    path = write(
        tmp_path,
        "# a comment\n[DEFAULT]\ndebug = true\n\n[pci]\nalias = {\n  'name': 1}\n"
        "alias: second\n# comment\ndevice_spec = last",
    )
    found = [(a.section, a.key, a.value, a.line) for a in parser.read(path)]
    assert found == [
        ("DEFAULT", "debug", "true", 3),
        ("pci", "alias", "{\n'name': 1}", 6),
        ("pci", "alias", "second", 8),
        ("pci", "device_spec", "last", 10),
    ]


def test_a_place_names_file_line_section_and_option(tmp_path):
    path = write(tmp_path, "[pci]\nalias = {}\n")
    assert parser.read(path)[0].where == f"{path}:2 [pci] alias"


def test_sections_are_lower_case_but_for_default(tmp_path):
    path = write(tmp_path, "[PCI]\na = 1\n[DEFAULT]\nb = 2\n[default]\nc = 3\n")
    assert [a.section for a in parser.read(path)] == ["pci", "DEFAULT", "default"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[pci\nalias = 1\n", 1, "closing bracket"),
        ("[]\n", 1, "without a name"),
        ("[pci]\nalias\n", 2, "neither section nor option"),
        ("[pci]\n= 1\n", 2, "without an option's name"),
        ("[pci]\n\n  more\n", 3, "continues no option"),
        ("\nalias = 1\n", 2, "before the first section"),
    ],
)
def test_a_malformed_file_is_told_in_one_sentence_with_its_line(tmp_path, text, line, words):
    path = write(tmp_path, text)
    with pytest.raises(UserError, match=words) as caught:
        parser.read(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_told(tmp_path):
    path = tmp_path / "nova.conf"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        parser.read(path)


LINES = st.sampled_from(
    [
        "[pci]",
        "[DEFAULT]",
        "alias = {}",
        "alias=x",
        "b : y",
        "  more",
        "",
        "# c",
        "= v",
        "[",
        "word",
    ]
)


@given(st.lists(LINES, max_size=12))
def test_it_reads_and_refuses_what_oslo_config_does(tmp_path_factory, lines):
    path = write(tmp_path_factory.mktemp("conf"), "\n".join(lines))
    sections = {}
    theirs = cfg.ConfigParser(str(path), sections)
    theirs._add_normalized({})
    try:
        theirs.parse()
    except cfg.ParseError:
        with pytest.raises(UserError):
            parser.read(path)
        return
    ours = {}
    for assignment in parser.read(path):
        ours.setdefault(assignment.section, {}).setdefault(assignment.key, []).append(
            assignment.value
        )
    assert ours == {name: keys for name, keys in sections.items() if keys}
