# SPDX-License-Identifier: Apache-2.0
"""A connection to a cloud, as arguments, environment and clouds.yaml describe it."""

import argparse
import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nova_gpu_passthrough.errors import UserError

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
    with checked(None):
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
    with checked(name):
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
    with checked(name):
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
                check_file(path)
                break
    return OpenStackConfig(
        app_name="nova-gpu", app_version=metadata.version("nova-gpu-passthrough")
    )


def _patient(connection: "Connection") -> "Connection":
    """See to it that a service that hangs does not hang the command for ever."""
    if connection.session.timeout is None:
        connection.session.timeout = TIMEOUT
    return connection


#: Messages of openstack.config, which has one exception for all.
_UNKNOWN_CLOUD = re.compile(r"Cloud (.*) was not found")
_UNKNOWN_REGION = re.compile(
    r"Region (.*) is not a valid region name for cloud (.*)\. Valid choices are (.*)\. Please note"
)
_UNKNOWN_KIND = re.compile(r"An invalid auth-type was specified: (.*)\. Valid choices are: (.*)\.")


@contextlib.contextmanager
def checked(name: str | None) -> Iterator[None]:
    """Raise UserError for whatever openstacksdk finds wrong before it asks a cloud.

    :param name: of the cloud, where somebody gave one
    :raises UserError: with one sentence; exceptions of other kinds pass unchanged
    """
    try:
        yield
    except Exception as error:
        text = _sentence(error, name)
        if text is None:
            raise
        raise UserError(text) from error


def check_file(path: Path) -> None:
    """Refuse a file that openstacksdk would pass over, so that it knew none of the clouds in it.

    :raises UserError: if it is no file with clouds
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except UnicodeDecodeError:
        raise UserError(f"{path}: expected text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"{place}: not YAML: {getattr(error, 'problem', None) or 'odd'}") from None
    if document is None:
        return
    clouds = document.get("clouds", {}) if isinstance(document, dict) else None
    if not isinstance(clouds, dict):
        raise UserError(f"{path}: expected key clouds with a mapping of clouds by name")
    for name, cloud in clouds.items():
        if not isinstance(cloud, dict):
            raise UserError(f"{path}: key clouds.{name}: expected a mapping with key auth")


def known_clouds() -> list[str]:
    """Names of the clouds in clouds.yaml."""
    from openstack.config import OpenStackConfig

    names = OpenStackConfig(load_envvars=True).get_cloud_names()
    return sorted(set(names) - {"defaults", "envvars"})


def _sentence(error: Exception, name: str | None) -> str | None:
    import keystoneauth1.exceptions as ksa
    from openstack import exceptions as sdk

    cloud = f"cloud {name}" if name else "the environment"
    if isinstance(error, ksa.MissingRequiredOptions):
        missing = ", ".join(str(option.dest) for option in error.options)
        return f"{cloud} lacks {missing}: see its key auth" if name else _unnamed(missing)
    if isinstance(error, ksa.NoMatchingPlugin):
        return f"{cloud}: there is no kind of authentication {error.name!r}: see its auth_type"
    if isinstance(error, ksa.AuthPluginException):
        return f"{cloud}: {' '.join(str(error).split())}"
    if isinstance(error, TypeError) and "__init__() got" in str(error):
        return f"{cloud} has more than its kind of authentication takes: {str(error).split()[-1]}"
    if isinstance(error, sdk.ConfigException):
        return _reworded(str(error))
    return None


def _unnamed(missing: str) -> str:
    clouds = known_clouds()
    if clouds:
        return (
            "no cloud was named: give --os-cloud NAME or set OS_CLOUD, with one of "
            f"{', '.join(clouds)} (of clouds.yaml)"
        )
    return (
        f"no cloud was named ({missing} is not set): give --os-cloud NAME or set OS_CLOUD for a "
        "cloud of clouds.yaml, or set what openrc files set"
    )


def _reworded(text: str) -> str:
    if found := _UNKNOWN_CLOUD.search(text):
        clouds = known_clouds()
        have = f"it has {', '.join(clouds)}" if clouds else "there is none, or it is empty"
        return f"cloud {found[1]!r} is not in clouds.yaml: {have}; see --os-cloud and OS_CLOUD"
    if found := _UNKNOWN_REGION.search(text):
        return (
            f"cloud {found[2]} has no region {found[1]!r} in clouds.yaml: it has {found[3]}; see "
            "--os-region-name"
        )
    if found := _UNKNOWN_KIND.search(text):
        kinds = ", ".join(sorted(found[2].split(",")))
        return f"there is no kind of authentication {found[1]!r}: expected one of {kinds}"
    return " ".join(text.split())
