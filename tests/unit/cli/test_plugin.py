# SPDX-License-Identifier: Apache-2.0
"""The plug-in of python-openstackclient."""

import argparse
from importlib import metadata
from types import SimpleNamespace

from nova_gpu_passthrough.cli import plugin
from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.cli.main import NAMESPACE

#: The entry points of ``openstack`` have this prefix and the name of those of ``nova-gpu``.
PREFIX = "gpu_"


def entry_points(group):
    return {point.name: point for point in metadata.entry_points(group=group)}


def test_the_plug_in_is_found():
    assert entry_points("openstack.cli.extension")["gpu"].load() is plugin
    assert plugin.DEFAULT_API_VERSION in plugin.API_VERSIONS


def test_its_option():
    parser = plugin.build_option_parser(argparse.ArgumentParser())
    assert parser.parse_args([]).os_gpu_api_version == ""
    assert parser.parse_args(["--os-gpu-api-version", "1"]).os_gpu_api_version == "1"


def test_its_client_is_the_connection():
    assert plugin.make_client(SimpleNamespace(sdk_connection="it")) == "it"


def test_the_commands_of_both_programs_are_the_same():
    group = f"openstack.{plugin.API_NAME}.v{plugin.DEFAULT_API_VERSION}"
    nova_gpu_commands, openstack_commands = entry_points(NAMESPACE), entry_points(group)
    assert openstack_commands
    for name, point in openstack_commands.items():
        assert name.startswith(PREFIX)
        assert nova_gpu_commands[name.removeprefix(PREFIX)].value == point.value


def test_both_programs_have_all_commands_that_connect_to_a_cloud():
    group = f"openstack.{plugin.API_NAME}.v{plugin.DEFAULT_API_VERSION}"
    openstack_commands = entry_points(group)
    for name, point in entry_points(NAMESPACE).items():
        try:
            command = point.load()
        except ModuleNotFoundError:
            continue
        assert issubclass(command, CloudCommand) == (PREFIX + name in openstack_commands), name
