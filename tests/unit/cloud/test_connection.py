# SPDX-License-Identifier: Apache-2.0
"""Connections by arguments, environment and clouds.yaml."""

import argparse
import os
from types import SimpleNamespace

import pytest
import yaml
from openstack.config import OpenStackConfig

from nova_gpu_passthrough.cloud import connection
from nova_gpu_passthrough.errors import UserError
from tests.unit.cloud.fake_api import ENDPOINTS

AUTH = {
    "auth_url": ENDPOINTS["identity"],
    "username": "admin",
    "password": "secret-of-admin",
    "project_name": "admin",
    "user_domain_id": "default",
    "project_domain_id": "default",
}


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """No cloud is named anywhere, and no file is read but by name."""
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("openstack.config.loader.CONFIG_FILES", [])
    monkeypatch.setattr("openstack.config.loader.SECURE_FILES", [])


@pytest.fixture
def clouds_yaml(monkeypatch, tmp_path):
    def write(**clouds):
        file = tmp_path / "clouds.yaml"
        file.write_text(yaml.safe_dump({"clouds": clouds}))
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))

    return write


def connect(*arguments):
    """With options on a command line."""
    parser = argparse.ArgumentParser()
    registered = connection.register(parser, list(arguments))
    return connection.connect(registered, parser.parse_args(arguments))


def user_of(found):
    return found.config.config["auth"]["username"]


def told(work, *arguments):
    with pytest.raises(UserError) as caught:
        work(*arguments)
    text = str(caught.value)
    assert "secret" not in text
    return text


def test_by_a_cloud_s_name(cloud, clouds_yaml, monkeypatch):
    clouds_yaml(one={"auth": AUTH}, two={"auth": AUTH | {"username": "alice"}})
    assert user_of(connect("--os-cloud", "two")) == "alice"
    monkeypatch.setenv("OS_CLOUD", "one")
    found = connection.connect()
    assert user_of(found) == "admin"
    assert list(found.compute.services()) == []


def test_the_only_cloud_need_not_be_named(clouds_yaml):
    clouds_yaml(one={"auth": AUTH})
    assert user_of(connection.connect()) == "admin"


def test_by_the_environment(cloud, monkeypatch):
    for name, value in AUTH.items():
        monkeypatch.setenv(f"OS_{name.upper()}", value)
    assert list(connection.connect().compute.services()) == []


def test_options_beat_clouds_yaml(clouds_yaml):
    clouds_yaml(one={"auth": AUTH})
    assert user_of(connect("--os-cloud", "one", "--os-username", "alice")) == "alice"


def test_a_named_cloud_beats_the_environment(clouds_yaml, monkeypatch):
    clouds_yaml(one={"auth": AUTH})
    monkeypatch.setenv("OS_USERNAME", "alice")
    assert user_of(connect("--os-cloud", "one")) == "admin"


def test_underscores_in_options(clouds_yaml):
    clouds_yaml(one={"auth": AUTH})
    arguments = ["--os_cloud", "one"]
    parser = argparse.ArgumentParser()
    registered = connection.register(parser, arguments)
    options = parser.parse_args(arguments)
    assert user_of(connection.connect(registered, options)) == "admin"


def test_services_that_hang_are_not_waited_for_for_ever(clouds_yaml):
    clouds_yaml(one={"auth": AUTH}, two={"auth": AUTH, "api_timeout": 7})
    assert connect("--os-cloud", "one").session.timeout == connection.TIMEOUT
    assert connect("--os-cloud", "two").session.timeout == 7
    assert connect("--os-cloud", "one", "--timeout", "5").session.timeout == 5


def test_no_cloud_at_all():
    assert told(connection.connect).startswith("no cloud was named (auth_url is not set)")


def test_clouds_of_which_none_was_named(clouds_yaml):
    clouds_yaml(one={"auth": AUTH}, two={"auth": AUTH})
    assert "one of one, two (of clouds.yaml)" in told(connection.connect)


def test_an_unknown_cloud(clouds_yaml, monkeypatch):
    clouds_yaml(one={"auth": AUTH}, two={"auth": AUTH})
    expected = "cloud 'three' is not in clouds.yaml: it has one, two; see --os-cloud and OS_CLOUD"
    assert told(connect, "--os-cloud", "three") == expected
    monkeypatch.setenv("OS_CLOUD", "three")
    assert told(connection.connect) == expected


def test_an_unknown_cloud_without_any_file(monkeypatch):
    monkeypatch.setenv("OS_CLOUD", "three")
    assert "there is none, or it is empty" in told(connection.connect)


def test_a_cloud_without_url(clouds_yaml):
    clouds_yaml(one={"auth": {"username": "admin"}})
    assert told(connect, "--os-cloud", "one") == "cloud one lacks auth_url: see its key auth"


def test_a_region_that_clouds_yaml_does_not_have(clouds_yaml):
    clouds_yaml(one={"auth": AUTH, "region_name": "RegionOne"})
    arguments = ["--os-cloud", "one", "--os-region-name", "Mars"]
    assert "cloud one has no region 'Mars' in clouds.yaml" in told(connect, *arguments)


def test_a_malformed_file(tmp_path, monkeypatch):
    file = tmp_path / "clouds.yaml"
    file.write_text("clouds:\n  one: {password: @secret}\n")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    for work in (connection.connect, connect):
        assert told(work).startswith(f"{file}:2: not YAML")


def test_a_malformed_file_that_nobody_reads_is_no_error(clouds_yaml, tmp_path, monkeypatch):
    clouds_yaml(one={"auth": AUTH})
    other = tmp_path / "other.yaml"
    other.write_text("{")
    monkeypatch.setattr("openstack.config.loader.CONFIG_FILES", [str(other)])
    assert user_of(connection.connect()) == "admin"


def test_the_connection_of_openstackclient(cloud, clouds_yaml):
    """What OpenStackShell has when it runs a command that needs no authentication."""
    clouds_yaml(one={"auth": AUTH})
    shell = SimpleNamespace(
        cloud_config=OpenStackConfig(),
        options=argparse.Namespace(cloud="one"),
        client_manager=SimpleNamespace(),
    )
    found = connection.connect_shell(shell)
    assert list(found.compute.services()) == []
    assert shell.client_manager.sdk_connection is found
    assert shell.client_manager.session is found.session
    assert found.session.timeout == connection.TIMEOUT
    shell.options.cloud = "two"
    assert told(connection.connect_shell, shell).startswith("cloud 'two' is not in clouds.yaml")
