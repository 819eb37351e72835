# SPDX-License-Identifier: Apache-2.0
"""What is wrong with arguments, environment or clouds.yaml, in one sentence.

No sentence holds a password or a token, nor a line of a file.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from nova_gpu_passthrough.errors import UserError

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
