# SPDX-License-Identifier: Apache-2.0
"""Connect to the cloud that command line, environment and clouds.yaml describe."""

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

from nova_gpu_passthrough.cloud import failures, time_limit
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import reading, yaml_text

if TYPE_CHECKING:
    from openstack.config import OpenStackConfig
    from openstack.connection import Connection


#: Messages of openstack.config, which raises one exception for all errors.
_UNKNOWN_CLOUD = re.compile(r"Cloud (.*) was not found")
_UNKNOWN_REGION = re.compile(
    r"Region (.*) is not a valid region name for cloud (.*)\. Valid choices are (.*)\. Please note"
)
_UNKNOWN_AUTH_TYPE = re.compile(
    r"An invalid auth-type was specified: (.*)\. Valid choices are: (.*)\."
)


@dataclass(frozen=True)
class RegisteredOptions:
    """Openstacksdk's options in a parser."""

    config: "OpenStackConfig"
    #: Their names in the parser's namespace.
    names: frozenset[str]


def register_options(parser: argparse.ArgumentParser, arguments: list[str]) -> RegisteredOptions:
    """Add openstacksdk's options (``--os-cloud`` and all of authentication) to a parser.

    :param arguments: the command line, which determines the authentication type; underscores in
        its option names are replaced with dashes in place
    :raises UserError: if the command line or a clouds file is invalid
    """
    with configuration_errors(None):
        config = _load_config()
        before = {action.dest for action in parser._actions}
        config.register_argparse_arguments(parser, arguments)
    new = [action for action in parser._actions if action.dest not in before]
    for action in new:
        # Defaults from the environment would override the cloud that the command line names.
        action.default = None
    return RegisteredOptions(config, frozenset(action.dest for action in new))


def connect(
    registered: RegisteredOptions | None = None, options: argparse.Namespace | None = None
) -> "Connection":
    """Return a connection by options, environment and clouds.yaml, without sending a request.

    :param registered: what `register_options` returned, if ``options`` are of its parser
    :raises UserError: if options, environment or a clouds file are invalid
    """
    from openstack.connection import Connection

    names = registered.names if registered else ()
    given = argparse.Namespace(**{name: getattr(options, name, None) for name in names})
    # Openstacksdk ignores the variable if it knows no cloud at all.
    name = getattr(given, "os_cloud", None) or os.environ.get("OS_CLOUD") or None
    with configuration_errors(name):
        config = registered.config if registered else _load_config()
        # With this method options take precedence over clouds.yaml, as with ``openstack``.
        region = config.get_one_cloud_osc(name, argparse=given)
    return _limited(Connection(config=region))


def connect_shell(shell: Any) -> "Connection":
    """Return the connection of ``openstack ...`` (OpenStackShell of osc-lib).

    The shell itself connects before commands with ``auth_required`` (prepare_to_run_command in
    osc_lib/shell.py). This does the same inside a command, so that its errors are handled like all
    others.

    :raises UserError: if options, environment or a clouds file are invalid
    """
    from openstack.connection import Connection

    name = shell.options.cloud
    with configuration_errors(name):
        region = shell.cloud_config.get_one(cloud=name, argparse=shell.options, validate=True)
    connection = _limited(Connection(config=region))
    # The shell closes them, and reads --timing from them.
    shell.client_manager.session = connection.session
    shell.client_manager.sdk_connection = connection
    return connection


def known_clouds() -> list[str]:
    """Return the names of the clouds in clouds.yaml."""
    from openstack.config import OpenStackConfig

    names = OpenStackConfig(load_envvars=True).get_cloud_names()
    return sorted(set(names) - {"defaults", "envvars"})


def check_file(path: Path) -> None:
    """Check a clouds file; openstacksdk would ignore an invalid one, and so all of its clouds.

    ``OS_CLIENT_CONFIG_FILE=/dev/null`` is a usual way to have no clouds file.

    :raises UserError: if the file has no valid mapping of clouds
    """
    if str(path) == os.devnull:
        return
    try:
        text = reading.read_text(path)
        if path.suffix == ".json":
            document = json.loads(text)
        else:
            document = yaml_text.parse(text, loader=yaml_text.LenientLoader)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: invalid JSON: {error.msg}") from None
    except (RecursionError, ValueError):
        raise UserError(f"{path}: invalid values; expected a mapping of clouds by name") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or "unknown problem"
        raise UserError(f"{where}: invalid YAML: {problem}") from None
    if document is None:
        return
    clouds = document.get("clouds", {}) if isinstance(document, dict) else None
    if not isinstance(clouds, dict):
        raise UserError(f"{path}: expected key clouds with a mapping of clouds by name")
    for name, cloud in clouds.items():
        if not isinstance(cloud, dict):
            raise UserError(f"{path}: key clouds.{name}: expected a mapping with key auth")


@contextlib.contextmanager
def configuration_errors(cloud_name: str | None) -> Iterator[None]:
    """Raise UserError in place of openstacksdk's exceptions about its configuration.

    :param cloud_name: the cloud that options or environment name, if any
    :raises UserError: with one sentence; other exceptions pass unchanged
    """
    try:
        yield
    except Exception as error:
        text = _error_text(error, cloud_name)
        if text is None:
            raise
        raise UserError(text) from error


def _load_config() -> "OpenStackConfig":
    from openstack.config import OpenStackConfig, loader

    for purpose, paths in (("CONFIG", loader.CONFIG_FILES), ("SECURE", loader.SECURE_FILES)):
        named = os.environ.get(f"OS_CLIENT_{purpose}_FILE")
        for path in map(Path, [named, *paths] if named else paths):
            if os.access(path, os.R_OK):
                check_file(path)
                break
    return OpenStackConfig(
        app_name="nova-gpu", app_version=metadata.version("nova-gpu-passthrough")
    )


def _limited(connection: "Connection") -> "Connection":
    time_limit.limit_requests(connection, lambda url: failures.service_at(connection, url))
    return connection


def _error_text(error: Exception, cloud_name: str | None) -> str | None:
    """Return the message for an exception; None if it is not about the configuration."""
    import keystoneauth1.exceptions as ksa
    from openstack import exceptions as sdk

    cloud = f"cloud {cloud_name}" if cloud_name else "the environment"
    if isinstance(error, ksa.MissingRequiredOptions):
        missing = ", ".join(str(option.dest) for option in error.options)
        return f"{cloud} lacks {missing}: see its key auth" if cloud_name else _no_cloud(missing)
    if isinstance(error, ksa.NoMatchingPlugin):
        return f"{cloud}: there is no authentication type {error.name!r}: see its auth_type"
    if isinstance(error, ksa.AuthPluginException):
        return f"{cloud}: {' '.join(str(error).split())}"
    if isinstance(error, TypeError) and "__init__() got" in str(error):
        option = str(error).split()[-1]
        return f"{cloud} has an option that its authentication type does not accept: {option}"
    if isinstance(error, sdk.ConfigException):
        return _config_exception_text(str(error))
    return None


def _no_cloud(missing: str) -> str:
    clouds = known_clouds()
    if clouds:
        return (
            "no cloud was named: give --os-cloud NAME or set OS_CLOUD, with one of "
            f"{', '.join(clouds)} (of clouds.yaml)"
        )
    return (
        f"no cloud was named ({missing} is not set): give --os-cloud NAME or set OS_CLOUD for a "
        "cloud of clouds.yaml, or set the variables of an openrc file"
    )


def _config_exception_text(message: str) -> str:
    if match := _UNKNOWN_CLOUD.search(message):
        clouds = known_clouds()
        content = f"it has {', '.join(clouds)}" if clouds else "the file is missing or empty"
        return f"cloud {match[1]!r} is not in clouds.yaml: {content}; see --os-cloud and OS_CLOUD"
    if match := _UNKNOWN_REGION.search(message):
        return (
            f"cloud {match[2]} has no region {match[1]!r} in clouds.yaml: it has {match[3]}; see "
            "--os-region-name"
        )
    if match := _UNKNOWN_AUTH_TYPE.search(message):
        types = ", ".join(sorted(match[2].split(",")))
        return f"there is no authentication type {match[1]!r}: expected one of {types}"
    return " ".join(message.split())
