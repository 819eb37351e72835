# SPDX-License-Identifier: Apache-2.0
"""A connection to a cloud, as arguments, environment and clouds.yaml describe it."""

import argparse
import os
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cloud import credentials

if TYPE_CHECKING:
    from openstack.config import OpenStackConfig
    from openstack.connection import Connection

#: Seconds without a byte of an answer, where neither clouds.yaml nor --timeout says another.
TIMEOUT = 60.0


@dataclass(frozen=True)
class Registered:
    """Openstacksdk's options in a parser."""

    config: "OpenStackConfig"
    #: Their names in the parser's namespace.
    names: frozenset[str]


def register(parser: argparse.ArgumentParser, arguments: list[str]) -> Registered:
    """Add openstacksdk's options (``--os-cloud`` and all of authentication) to a parser.

    :param arguments: the command line, which tells the kind of authentication; underscores in
        names of options become dashes in it
    :raises UserError: if the command line or a file with clouds makes no sense
    """
    with credentials.checked(None):
        config = _config()
        before = {action.dest for action in parser._actions}
        config.register_argparse_arguments(parser, arguments)
    new = [action for action in parser._actions if action.dest not in before]
    for action in new:
        # From the environment, which would beat the cloud that the command line names.
        action.default = None
    return Registered(config, frozenset(action.dest for action in new))


def connect(
    registered: Registered | None = None, options: argparse.Namespace | None = None
) -> "Connection":
    """A connection by options, environment and clouds.yaml; nothing is asked of the cloud yet.

    :param registered: what `register` returned, if ``options`` are of its parser
    :raises UserError: if options, environment or a file with clouds make no sense
    """
    from openstack.connection import Connection

    names = registered.names if registered else ()
    given = argparse.Namespace(**{name: getattr(options, name, None) for name in names})
    # Openstacksdk forgets the variable where it knows no cloud at all.
    name = getattr(given, "os_cloud", None) or os.environ.get("OS_CLOUD") or None
    with credentials.checked(name):
        config = registered.config if registered else _config()
        # The one with which options beat clouds.yaml, as with ``openstack``.
        region = config.get_one_cloud_osc(name, argparse=given)
    return _patient(Connection(config=region))


def connect_shell(shell: Any) -> "Connection":
    """The connection of ``openstack ...`` (OpenStackShell of osc-lib).

    As the shell itself does for commands with ``auth_required`` (prepare_to_run_command in
    osc_lib/shell.py), but inside the command, so that its errors are told like all others.

    :raises UserError: if options, environment or a file with clouds make no sense
    """
    from openstack.connection import Connection

    name = shell.options.cloud
    with credentials.checked(name):
        region = shell.cloud_config.get_one(cloud=name, argparse=shell.options, validate=True)
    connection = _patient(Connection(config=region))
    # The shell closes them, and takes --timing from them.
    shell.client_manager.session = connection.session
    shell.client_manager.sdk_connection = connection
    return connection


def _config() -> "OpenStackConfig":
    from openstack.config import OpenStackConfig, loader

    for kind, places in (("CONFIG", loader.CONFIG_FILES), ("SECURE", loader.SECURE_FILES)):
        named = os.environ.get(f"OS_CLIENT_{kind}_FILE")
        for path in map(Path, [named, *places] if named else places):
            if os.access(path, os.R_OK):
                credentials.check_file(path)
                break
    return OpenStackConfig(
        app_name="nova-gpu", app_version=metadata.version("nova-gpu-passthrough")
    )


def _patient(connection: "Connection") -> "Connection":
    """See to it that a service that hangs does not hang the command for ever."""
    if connection.session.timeout is None:
        connection.session.timeout = TIMEOUT
    return connection
