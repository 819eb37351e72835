# SPDX-License-Identifier: Apache-2.0
"""The help of every command, and its examples."""

import inspect
import shlex
from types import SimpleNamespace

import pytest

from nova_gpu_passthrough.cli.device import ListDevices
from nova_gpu_passthrough.cli.gpu_command import CommandGroup, GpuCommand
from nova_gpu_passthrough.cli.main import NAMESPACE, NovaGpu
from tests.unit.cli.test_plugin import entry_points

COMMANDS = {
    name.replace("_", " "): point.load() for name, point in sorted(entry_points(NAMESPACE).items())
}


@pytest.fixture(scope="module")
def app():
    return NovaGpu()


def _examples(command):
    lines = inspect.cleandoc(command.examples).splitlines()
    return [line for line in lines if not line.startswith(" ")]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_group(name):
    assert issubclass(COMMANDS[name], GpuCommand)
    assert COMMANDS[name].group is not CommandGroup.OTHER


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_its_parser_accepts(app, name):
    examples = _examples(COMMANDS[name])
    assert examples
    for example in examples:
        program, *words = shlex.split(example.partition(" && ")[0])
        assert program == "nova-gpu"
        # The options that are not the command's own.
        global_options, words = app.parser.parse_known_args(words)
        while "--os-cloud" in words:
            place = words.index("--os-cloud")
            del words[place : place + 2]
        assert " ".join(words).startswith(name)
        command = COMMANDS[name](app, global_options, cmd_name=name)
        command.get_parser(f"nova-gpu {name}").parse_args(words[len(name.split()) :])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_says_what_it_does(name):
    lines = inspect.cleandoc(COMMANDS[name].examples).splitlines()
    assert [line.startswith("  ") for line in lines] == [False, True] * (len(lines) // 2)


def test_the_help_has_paragraphs_and_examples(app):
    text = ListDevices(app, None, "device list").get_parser("nova-gpu device list").format_help()
    assert text.startswith("usage: nova-gpu device list [OPTION ...]\n\nList GPUs, ")
    assert "\n\nNeeds role admin, or policies that permit reading" in text
    assert "\nexamples:\n  nova-gpu device list --state stuck --state reserved\n    GPUs " in text


def test_the_examples_of_openstack_have_its_name(app):
    shell = SimpleNamespace(client_manager=None, command_manager=app.command_manager)
    command = ListDevices(shell, None, "gpu device list")
    text = command.get_parser("openstack gpu device list").format_help()
    assert "\n  openstack gpu device list --state stuck --state reserved\n" in text
    assert "nova-gpu device list" not in text
