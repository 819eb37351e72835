# SPDX-License-Identifier: Apache-2.0
"""What the smoke test reads from a domain, from Placement and from flavors."""

import importlib.util
import sys
import types

import pytest

from tests.unit.devstack.stack import PLUGIN

_DOMAIN = """\
<domain>
  <uuid>1</uuid>
  {numatune}
  <devices>
    <hostdev mode="subsystem" type="pci" managed="no">
      <source><address domain="0x0000" bus="0x18" slot="0x00" function="0x0"/></source>
    </hostdev>
    <hostdev mode="subsystem" type="pci">
      <source><address type="pci" domain="0x0001" bus="0xaf" slot="0x1f" function="0x7"/></source>
      <address type="pci" domain="0x0000" bus="0x05" slot="0x00" function="0x0"/>
    </hostdev>
    <hostdev mode="subsystem" type="mdev"><source><address uuid="2"/></source></hostdev>
  </devices>
</domain>
"""


@pytest.fixture(scope="module")
def smoke():
    spec = importlib.util.spec_from_file_location("smoke", PLUGIN / "smoke.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        # The decorator dataclass looks for the module here.
        patch.setitem(sys.modules, "smoke", module)
        spec.loader.exec_module(module)
        yield module


def test_devices_of_a_domain_are_those_of_the_host(smoke):
    assert smoke.domain_devices(_DOMAIN.format(numatune="")) == {"0000:18:00.0", "0001:af:1f.7"}


@pytest.mark.parametrize(
    "numatune, nodes",
    [
        ("", set()),
        ('<numatune><memory mode="strict" nodeset="1"/></numatune>', {1}),
        (
            '<numatune><memory nodeset="0-1"/><memnode cellid="0" nodeset="0"/></numatune>',
            {0, 1},
        ),
    ],
)
def test_nodes_of_a_domain_are_those_of_its_memory(smoke, numatune, nodes):
    assert smoke.domain_nodes(_DOMAIN.format(numatune=numatune)) == nodes


def test_providers_of_devices_are_distinguished_from_those_of_hosts(smoke):
    names = ["gpu01", "gpu_01", "gpu_01_0000:AF:00.1", "gpu01_0000:18:00.0"]
    assert smoke.provider_addresses(names) == {"0000:af:00.1", "0000:18:00.0"}


def test_smallest_and_largest_flavor_of_each_alias(smoke):
    def flavor(name, alias=None):
        specs = {"pci_passthrough:alias": alias} if alias else {}
        return types.SimpleNamespace(name=name, ram=0, extra_specs=specs)

    flavors = [
        flavor("cpu"),
        flavor("h4", "h100:4"),
        flavor("h1", "h100:1"),
        flavor("h8", "h100:8"),
        flavor("l1", "l40s:1"),
    ]
    assert [one.name for one in smoke.smallest_and_largest(flavors)] == ["h1", "h8", "l1"]


def test_without_configuration_the_message_says_who_writes_it(smoke, tmp_path, capsys):
    assert smoke.main([str(tmp_path / "smoke.yaml")]) == 2
    assert "stack.sh with the plug-in writes it" in capsys.readouterr().err


def test_the_configuration_that_the_plug_in_writes_is_read(smoke, tmp_path):
    path = tmp_path / "smoke.yaml"
    path.write_text(
        "admin: a\ntenant: b\nregion: r\nimage:\nfleet: /x/fleet.yaml\ndomains: virsh\nhosts: [h]\n"
    )
    options = types.SimpleNamespace(flavor=["f"], networks="none")
    settings = smoke.load(path, options)
    assert (settings.fleet.name, settings.image, settings.flavors) == ("fleet.yaml", None, ("f",))
    assert settings.hosts == ("h",)
