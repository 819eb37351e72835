# SPDX-License-Identifier: Apache-2.0
"""The commands and the fragment of local.conf in the plug-in's documentation."""

import re
import subprocess

import pytest

from tests import cache
from tests.unit.devstack.stack import PLUGIN

PAGE = cache.ROOT / "doc/source/devstack.rst"
FRAGMENT = PLUGIN / "local.conf.without-ovn"
#: The services of OVN in DevStack's stackrc, and one that older versions have.
_OVN = {
    "ovn-controller",
    "ovn-northd",
    "ovs-vswitchd",
    "ovsdb-server",
    "q-ovn-agent",
    "q-ovn-metadata-agent",
}
_VARIABLES = (
    "Q_PLUGIN",
    "Q_AGENT",
    "Q_ML2_PLUGIN_MECHANISM_DRIVERS",
    "Q_ML2_TENANT_NETWORK_TYPE",
    "NEUTRON_CREATE_INITIAL_NETWORKS",
)


def _commands(program):
    """Return the commands of a program in the page, with continuation lines joined."""
    text = re.sub(r"\\\n +", "", PAGE.read_text())
    return [line.strip() for line in text.splitlines() if re.match(rf" +\$ \S*{program} ", line)]


@pytest.mark.parametrize("subcommand", ["apply", "explain"])
def test_commands_that_need_a_fleet_file_have_one(subcommand):
    commands = [line for line in _commands("nova-gpu") if f" {subcommand} " in line]
    assert commands
    for command in commands:
        assert "--fleet /opt/stack/data/nova_gpu_passthrough/fleet.yaml" in command
    inline = re.findall(rf"``[^`]*nova-gpu --os-cloud[^`]* {subcommand} [^`]*``", PAGE.read_text())
    assert not [command for command in inline if "--fleet" not in command]


def test_servers_boot_with_and_without_a_network():
    creates = [line for line in _commands("openstack") if " server create " in line]
    assert len(creates) == 2
    private, none = creates
    assert "--network private" in private
    # --network none would be the network with that name, and 2.1 has no servers without a network.
    assert "--nic none" in none
    assert "--os-compute-api-version 2.37" in none


def test_the_page_shows_the_fragment_without_ovn():
    assert f"../../devstack/{FRAGMENT.name}" in PAGE.read_text()


def test_the_fragment_disables_ovn_and_leaves_no_variable_to_its_default():
    # DevStack replaces unset and empty variables by those for OVN.
    header, _, script = FRAGMENT.read_text().partition("[[local|localrc]]\n")
    assert all(line.startswith("#") for line in header.splitlines())
    shown = "".join(f'echo "${{{name}:-ovn}}"\n' for name in _VARIABLES)
    done = subprocess.run(
        ["bash", "-euc", f'function disable_service {{ echo "$@"; }}\n{script}\n{shown}'],
        capture_output=True,
        text=True,
        check=True,
    )
    disabled, *values = done.stdout.splitlines()
    assert set(disabled.split()) == _OVN
    assert "ovn" not in values
    assert values[-1] == "False"
