# SPDX-License-Identifier: Apache-2.0
"""Settings from a fleet file or from the options of a command."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet import settings
from nova_gpu_passthrough.fleet.releases import parse
from nova_gpu_passthrough.fleet.settings import DeploymentTarget, Settings
from nova_gpu_passthrough.inventory.host import Distribution


def test_values_that_give_nothing_are_defaults():
    values = {"release": None, "exclude": [], "hugepages": False, "policy": None, "fleet": "f"}
    assert settings.make(values) == Settings()
    assert settings.given_values(values) == {}


def test_values_are_parsed():
    made = settings.make(
        {"release": 32, "target": "kolla", "distribution": "suse", "nics": ["a"], "host_cores": 0}
    )
    assert made == Settings(
        parse("32"), DeploymentTarget.KOLLA, Distribution.SUSE, nics=("a",), host_cores=0
    )


def test_values_override_settings():
    given = Settings(parse("32"), hugepages=True)
    assert settings.override(given, {"release": "34"}) == Settings(hugepages=True)


def test_an_unknown_release_is_an_error():
    with pytest.raises(UserError, match="--release 30: unknown release"):
        settings.make({"release": 30})


def test_the_arguments_give_the_settings():
    made = settings.make(
        {"release": "31", "exclude": ["a", "b"], "nics": ["c"], "enabled_filters": ["X", "Y"]}
        | {"hugepages": True, "host_cores": 0}
    )
    assert made.arguments() == (
        "--release 31 --exclude a --exclude b --nic c --enabled-filters X,Y --host-cores 0 "
        "--hugepages"
    )
