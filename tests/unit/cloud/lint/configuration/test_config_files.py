# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oslo_config import cfg

from nova_gpu_passthrough.cloud.lint.configuration import config_files
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
    assignments = [(a.section, a.key, a.value, a.line) for a in config_files.read_assignments(path)]
    assert assignments == [
        ("DEFAULT", "debug", "true", 3),
        ("pci", "alias", "{\n'name': 1}", 6),
        ("pci", "alias", "second", 8),
        ("pci", "device_spec", "last", 10),
    ]


def test_an_assignment_has_its_location(tmp_path):
    path = write(tmp_path, "[pci]\nalias = {}\n")
    assert config_files.read_assignments(path)[0].where == f"{path}:2 [pci] alias"


def test_sections_are_lower_case_except_default(tmp_path):
    path = write(tmp_path, "[PCI]\na = 1\n[DEFAULT]\nb = 2\n[default]\nc = 3\n")
    assert [a.section for a in config_files.read_assignments(path)] == ["pci", "DEFAULT", "default"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[pci\nalias = 1\n", 1, "closing bracket"),
        ("[]\n", 1, "without a name"),
        ("[pci]\nalias\n", 2, "neither section nor option"),
        ("[pci]\n= 1\n", 2, "without an option name"),
        ("[pci]\n\n  more\n", 3, "continues no option"),
        ("\nalias = 1\n", 2, "before the first section"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(tmp_path, text, line, words):
    path = write(tmp_path, text)
    with pytest.raises(UserError, match=words) as caught:
        config_files.read_assignments(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "nova.conf"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        config_files.read_assignments(path)


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
            config_files.read_assignments(path)
        return
    ours = {}
    for assignment in config_files.read_assignments(path):
        ours.setdefault(assignment.section, {}).setdefault(assignment.key, []).append(
            assignment.value
        )
    assert ours == {name: keys for name, keys in sections.items() if keys}


FILES = {
    "nova.conf": "[pci]\nalias = a\n[DEFAULT]\nratio = 1\nratio = 2\n[quota]\nlist = x, y\n",
    "10.conf": "[pci]\nalias = b\nalias = c\n[DEFAULT]\nratio = 3\n",
    "20.conf": "[PCI]\nalias = d\n[DEFAULT]\ndebug = maybe\n",
}
ALIAS = ("pci", "alias")


@pytest.fixture
def paths(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return [tmp_path / name for name in FILES]


def test_values_are_combined_as_in_oslo_config(paths):
    """All values of repeated options; the last value of other options."""
    conf = cfg.ConfigOpts()
    conf.register_opts([cfg.MultiStrOpt("alias")], group="pci")
    conf.register_opts([cfg.ListOpt("list")], group="quota")
    conf.register_opts([cfg.FloatOpt("ratio")])
    conf([word for path in paths for word in ("--config-file", str(path))], project="nothing")
    ours = config_files.read(paths)
    assert [a.value for a in ours.all(ALIAS)] == conf.pci.alias == ["a", "b", "c", "d"]
    assert ours.number("DEFAULT", "ratio") == conf.ratio == 3
    assert list(ours.names("quota", "list")) == conf.quota.list == ["x", "y"]


def test_with_replacing_a_later_file_replaces_all_values_of_an_option(paths):
    ours = config_files.read(paths, replacing=True)
    assert [a.value for a in ours.all(ALIAS)] == ["d"]
    assert ours.number("DEFAULT", "ratio") == 3


def test_a_value_has_its_location(paths):
    ours = config_files.read(paths)
    assert ours.where("DEFAULT", "ratio") == f"{paths[1]}:5 [DEFAULT] ratio"
    assert ours.where("pci", "none") == f"{paths[2]} [pci] none"


def test_an_unset_or_invalid_value_has_the_default(paths):
    ours = config_files.read(paths)
    assert ours.flag("DEFAULT", "debug", True) is True
    assert ours.number("DEFAULT", "none") is None
    assert ours.text("DEFAULT", "none", "word") == "word"
    assert ours.names("DEFAULT", "none") is None


def test_deprecated_names_of_an_option_are_read(tmp_path):
    path = tmp_path / "nova.conf"
    path.write_text("[DEFAULT]\npci_alias = old\n[pci]\nalias = new\n")
    ours = config_files.read([path])
    assert [a.value for a in ours.all(ALIAS, ("DEFAULT", "pci_alias"))] == ["old", "new"]
