# SPDX-License-Identifier: Apache-2.0
"""The options, errors and Ctrl-C of commands that connect to a cloud."""

import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest
from cliff.lister import Lister

from nova_gpu_passthrough.cli import common_options
from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.cli.cloud_host import ListHosts
from nova_gpu_passthrough.errors import UserError
from tests.unit.cli.clouds import cloud as cloud
from tests.unit.cli.clouds import named as named

COMMAND = ("host", "list")


def raising(error):
    def read(*arguments):
        raise error

    return read


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_cloud_may_be_given_before_and_after_the_command(nova_gpu, named, place):
    option = ("--os-cloud", "test")
    arguments = (*option, *COMMAND) if place == "before" else (*COMMAND, *option)
    status, _, err = nova_gpu(*arguments)
    assert (status, err) == (0, "No host has GPUs in Placement, and no fleet file names one\n")


def test_the_cloud_may_be_given_by_the_environment(nova_gpu, named, monkeypatch):
    monkeypatch.setenv("OS_CLOUD", "test")
    assert nova_gpu(*COMMAND)[0] == 0


def test_an_unknown_cloud(nova_gpu, named):
    status, out, err = nova_gpu("--os-cloud", "nope", *COMMAND)
    assert (status, out) == (2, "")
    assert err == (
        "nova-gpu: cloud 'nope' is not in clouds.yaml: it has tenant, test; see --os-cloud and "
        "OS_CLOUD\n"
    )


def test_an_error_of_a_service_is_one_sentence(nova_gpu, named):
    named.fail("GET .*os-services", 500, {"computeFault": {"code": 500, "message": "boom"}})
    status, out, err = nova_gpu("--os-cloud", "test", *COMMAND)
    assert (status, out) == (2, "")
    assert err.startswith("nova-gpu: Nova failed at GET http://cloud/compute/v2.1/os-services")
    assert err.count("\n") == 1


def test_the_message_for_a_tenant_names_the_role(nova_gpu, named):
    named.fail("GET /placement/resource", 403, {"errors": [{"detail": "no"}]})
    status, out, err = nova_gpu("--os-cloud", "tenant", *COMMAND)
    assert (status, out) == (2, "")
    assert "needs role admin; user alice has only reader, member" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("verbose", [(), ("-v",), ("-v", "-v")])
def test_no_output_contains_a_password_or_a_token(nova_gpu, named, verbose):
    status, out, err = nova_gpu(*verbose, "--os-cloud", "test", *COMMAND)
    assert status == 0
    assert "secret-of" not in out + err
    assert "token-1" not in out + err
    assert (err == "No host has GPUs in Placement, and no fleet file names one\n") == (not verbose)


def test_ctrl_c_is_one_sentence_and_has_its_own_status(nova_gpu, named, monkeypatch):
    monkeypatch.setattr(CloudCommand, "read_view", raising(KeyboardInterrupt()))
    status, out, err = nova_gpu("--os-cloud", "test", *COMMAND)
    assert (status, out) == (130, "")
    assert err == "nova-gpu: interrupted: nothing was changed in the cloud\n"


def test_ctrl_c_in_a_command_that_changes_the_cloud_has_its_own_sentence(
    nova_gpu, named, monkeypatch
):
    monkeypatch.setattr(CloudCommand, "read_view", raising(KeyboardInterrupt()))
    monkeypatch.setattr(ListHosts, "interrupted", "half of it was done")
    assert (
        nova_gpu("--os-cloud", "test", *COMMAND)[2]
        == "nova-gpu: interrupted: half of it was done\n"
    )


def test_the_fleet_file_is_read_before_the_cloud(nova_gpu, named):
    status, _, err = nova_gpu("--os-cloud", "test", *COMMAND, "--fleet", "/nope.yaml")
    assert status == 2
    assert err.startswith("nova-gpu: /nope.yaml")
    assert named.requests == []


def test_the_fleet_file_may_be_given_by_the_environment(nova_gpu, named, monkeypatch):
    monkeypatch.setenv("NOVA_GPU_FLEET", "/nope.yaml")
    assert nova_gpu("--os-cloud", "test", *COMMAND)[2].startswith("nova-gpu: /nope.yaml")


def test_a_missing_fleet_file_is_an_error_if_it_is_required():
    options = SimpleNamespace(fleet=None)
    assert common_options.load_fleet(options) is None
    with pytest.raises(UserError, match="no fleet file was given: add --fleet FILE or set NOVA"):
        common_options.require_fleet(options)


@pytest.mark.parametrize("words", [("--help",), (*COMMAND, "--help"), ("gpu", "list", "--help")])
def test_help_does_not_import_openstacksdk(words):
    code = (
        "import sys\n"
        "from nova_gpu_passthrough.cli.main import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "except SystemExit:\n"
        "    pass\n"
        "slow = {'openstack', 'keystoneauth1', 'requests', 'jinja2', 'prometheus_client'}\n"
        "print(sorted(slow & sys.modules.keys()), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"
    assert done.stdout.startswith("usage: ")


class Shell:
    """The attributes of OpenStackShell that commands use."""

    LOG = logging.getLogger("shell")

    def __init__(self, debug=False):
        self.options = SimpleNamespace(debug=debug, verbose_level=1)
        self.client_manager = SimpleNamespace()
        self.command_manager = SimpleNamespace(namespace="openstack.cli")


class Failing(CloudCommand, Lister):
    """A command that fails."""

    def take_action(self, parsed_args):
        raise UserError("this and that")


def test_in_openstackclient_an_error_is_one_sentence_and_status_2(caplog):
    command = Failing(Shell(), None)
    options = command.get_parser("x").parse_args([])
    assert command.run(options) == 2
    assert [record.getMessage() for record in caplog.records] == ["this and that"]


def test_in_openstackclient_debug_raises_the_error():
    command = Failing(Shell(debug=True), None)
    with pytest.raises(UserError):
        command.run(command.get_parser("x").parse_args([]))


def test_openstackclient_does_not_authenticate_for_a_command():
    assert CloudCommand.auth_required is False
