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


#: The resource providers of the devices of _DOMAIN.
_PROVIDERS = ("gpu01_0000:18:00.0", "gpu01_0001:AF:1F.7")


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


@pytest.fixture
def check(smoke, monkeypatch):
    """Check a server of a flavor with two GPUs on NUMA node 1, with a given domain."""
    gpu = types.SimpleNamespace(numa_node=1)
    inventory = types.SimpleNamespace(
        by_address=dict.fromkeys(smoke.provider_addresses(_PROVIDERS), gpu)
    )
    server = types.SimpleNamespace(id="1", status="ACTIVE", fault=None, compute_host="gpu01")
    compute = types.SimpleNamespace(get_server=lambda server: server)
    test = smoke.GpuServers()
    test.settings = types.SimpleNamespace(hosts=("gpu01",))
    test.fleet = types.SimpleNamespace(inventories={"gpu01": inventory})
    test.admin = types.SimpleNamespace(compute=compute)

    def done(numatune, **extra_specs):
        specs = {"pci_passthrough:alias": "h100:2"} | extra_specs
        flavor = types.SimpleNamespace(name="gpu.h100.2", extra_specs=specs)
        monkeypatch.setattr(test, "_providers", lambda server: list(_PROVIDERS))
        monkeypatch.setattr(test, "_domain", lambda *_: _DOMAIN.format(numatune=numatune))
        return test._check(server, flavor)

    return done


def test_a_domain_without_numa_tuning_fails_if_the_flavor_requests_numa_nodes(check):
    with pytest.raises(AssertionError) as failure:
        check("", **{"hw:numa_nodes": "2"})
    assert str(failure.value) == (
        "gpu.h100.2 requests hw:numa_nodes=2, but the domain of its server on gpu01 has no "
        "<numatune> that binds its memory to NUMA nodes of the host"
    )


def test_a_domain_without_numa_tuning_passes_if_the_flavor_requests_no_numa_nodes(check):
    assert check("") == "gpu01"


def test_a_domain_on_the_nodes_of_its_gpus_passes(check):
    numatune = '<numatune><memory mode="strict" nodeset="0-1"/></numatune>'
    assert check(numatune, **{"hw:numa_nodes": "2"}) == "gpu01"


def test_a_domain_on_other_nodes_than_its_gpus_fails(check):
    numatune = '<numatune><memory mode="strict" nodeset="0"/></numatune>'
    with pytest.raises(AssertionError, match="NUMA nodes of the GPUs and of the domain"):
        check(numatune, **{"hw:numa_nodes": "1"})


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
