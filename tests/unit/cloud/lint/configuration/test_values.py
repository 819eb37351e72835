# SPDX-License-Identifier: Apache-2.0
import pytest
from oslo_config import cfg

from nova_gpu_passthrough.cloud.lint.configuration import values

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


def test_values_count_as_oslo_config_counts_them(paths):
    """Repeated options over all files together, of others the last value of the last file."""
    conf = cfg.ConfigOpts()
    conf.register_opts([cfg.MultiStrOpt("alias")], group="pci")
    conf.register_opts([cfg.ListOpt("list")], group="quota")
    conf.register_opts([cfg.FloatOpt("ratio")])
    conf([word for path in paths for word in ("--config-file", str(path))], project="nothing")
    ours = values.read(paths)
    assert [a.value for a in ours.all(ALIAS)] == conf.pci.alias == ["a", "b", "c", "d"]
    assert ours.number("DEFAULT", "ratio") == conf.ratio == 3
    assert list(ours.names("quota", "list")) == conf.quota.list == ["x", "y"]


def test_with_kollas_rule_a_later_file_replaces_all_values_of_an_option(paths):
    ours = values.read(paths, replacing=True)
    assert [a.value for a in ours.all(ALIAS)] == ["d"]
    assert ours.number("DEFAULT", "ratio") == 3


def test_a_value_tells_where_it_is(paths):
    ours = values.read(paths)
    assert ours.where("DEFAULT", "ratio") == f"{paths[1]}:5 [DEFAULT] ratio"
    assert ours.where("pci", "none") == f"{paths[2]} [pci] none"


def test_what_is_not_set_or_makes_no_sense_has_the_default(paths):
    ours = values.read(paths)
    assert ours.flag("DEFAULT", "debug", True) is True
    assert ours.number("DEFAULT", "none") is None
    assert ours.text("DEFAULT", "none", "word") == "word"
    assert ours.names("DEFAULT", "none") is None


def test_older_names_of_an_option_count_too(tmp_path):
    path = tmp_path / "nova.conf"
    path.write_text("[DEFAULT]\npci_alias = old\n[pci]\nalias = new\n")
    ours = values.read([path])
    assert [a.value for a in ours.all(ALIAS, ("DEFAULT", "pci_alias"))] == ["old", "new"]
