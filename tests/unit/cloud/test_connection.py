# SPDX-License-Identifier: Apache-2.0
"""Connections by arguments, environment and clouds.yaml, and errors in these."""

import argparse
import os
from itertools import pairwise
from types import SimpleNamespace

import keystoneauth1.exceptions as ksa
import pytest
import yaml
from openstack import exceptions as sdk
from openstack.config import OpenStackConfig

from nova_gpu_passthrough.cloud import connection, time_limit
from nova_gpu_passthrough.errors import UserError
from tests.unit.cloud.fake_cloud import ENDPOINTS

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
    """Remove variables and default files, so that no cloud is configured."""
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
    """Connect with options of a command line."""
    parser = argparse.ArgumentParser()
    registered = connection.register_options(parser, list(arguments))
    return connection.connect(registered, parser.parse_args(arguments))


def user_of(cloud_connection):
    return cloud_connection.config.config["auth"]["username"]


def config_error(work, *arguments):
    with pytest.raises(UserError) as caught:
        work(*arguments)
    text = str(caught.value)
    assert "secret" not in text
    return text


def test_by_a_cloud_s_name(cloud, clouds_yaml, monkeypatch):
    clouds_yaml(one={"auth": AUTH}, two={"auth": AUTH | {"username": "alice"}})
    assert user_of(connect("--os-cloud", "two")) == "alice"
    monkeypatch.setenv("OS_CLOUD", "one")
    cloud_connection = connection.connect()
    assert user_of(cloud_connection) == "admin"
    assert list(cloud_connection.compute.services()) == []


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
    registered = connection.register_options(parser, arguments)
    options = parser.parse_args(arguments)
    assert user_of(connection.connect(registered, options)) == "admin"


def test_requests_have_a_timeout(clouds_yaml):
    clouds_yaml(one={"auth": AUTH}, two={"auth": AUTH, "api_timeout": 7})
    assert connect("--os-cloud", "one").session.timeout == time_limit.SECONDS
    assert connect("--os-cloud", "two").session.timeout == 7
    assert connect("--os-cloud", "one", "--timeout", "5").session.timeout == 5


def test_no_cloud_is_known():
    assert config_error(connection.connect).startswith("no cloud was named (auth_url is not set)")


def test_no_cloud_is_named(clouds_yaml):
    clouds_yaml(one={"auth": AUTH}, two={"auth": AUTH})
    assert "one of one, two (of clouds.yaml)" in config_error(connection.connect)


def test_an_unknown_cloud(clouds_yaml, monkeypatch):
    clouds_yaml(one={"auth": AUTH}, two={"auth": AUTH})
    expected = "cloud 'three' is not in clouds.yaml: it has one, two; see --os-cloud and OS_CLOUD"
    assert config_error(connect, "--os-cloud", "three") == expected
    monkeypatch.setenv("OS_CLOUD", "three")
    assert config_error(connection.connect) == expected


def test_an_unknown_cloud_without_any_file(monkeypatch):
    monkeypatch.setenv("OS_CLOUD", "three")
    assert "the file is missing or empty" in config_error(connection.connect)


def test_a_cloud_without_url(clouds_yaml):
    clouds_yaml(one={"auth": {"username": "admin"}})
    assert (
        config_error(connect, "--os-cloud", "one") == "cloud one lacks auth_url: see its key auth"
    )


def test_a_region_that_clouds_yaml_does_not_have(clouds_yaml):
    clouds_yaml(one={"auth": AUTH, "region_name": "RegionOne"})
    arguments = ["--os-cloud", "one", "--os-region-name", "Mars"]
    assert "cloud one has no region 'Mars' in clouds.yaml" in config_error(connect, *arguments)


def test_a_malformed_file(tmp_path, monkeypatch):
    file = tmp_path / "clouds.yaml"
    file.write_text("clouds:\n  one: {password: @secret}\n")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    for work in (connection.connect, connect):
        assert config_error(work).startswith(f"{file}:2: invalid YAML")


def test_a_malformed_file_that_is_not_read_is_no_error(clouds_yaml, tmp_path, monkeypatch):
    clouds_yaml(one={"auth": AUTH})
    other = tmp_path / "other.yaml"
    other.write_text("{")
    monkeypatch.setattr("openstack.config.loader.CONFIG_FILES", [str(other)])
    assert user_of(connection.connect()) == "admin"


def test_the_connection_of_openstackclient(cloud, clouds_yaml):
    """The shell is as OpenStackShell has it in a command that needs no authentication."""
    clouds_yaml(one={"auth": AUTH})
    shell = SimpleNamespace(
        cloud_config=OpenStackConfig(),
        options=argparse.Namespace(cloud="one"),
        client_manager=SimpleNamespace(),
    )
    cloud_connection = connection.connect_shell(shell)
    assert list(cloud_connection.compute.services()) == []
    assert shell.client_manager.sdk_connection is cloud_connection
    assert shell.client_manager.session is cloud_connection.session
    assert cloud_connection.session.timeout == time_limit.SECONDS
    shell.options.cloud = "two"
    assert config_error(connection.connect_shell, shell).startswith(
        "cloud 'two' is not in clouds.yaml"
    )


def file_error(text, path, name="clouds.yaml"):
    file = path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        connection.check_file(file)
    message = str(caught.value)
    assert message.startswith(str(file))
    rest = message.removeprefix(str(file))
    assert "secret" not in rest
    return rest


def sentence(error, name=None):
    with pytest.raises(UserError) as caught, connection.configuration_errors(name):
        raise error
    return str(caught.value)


@pytest.mark.parametrize("text", ["", "clouds: {}", "clouds:\n  a:\n    auth: {}", "other: 1"])
def test_valid_files(tmp_path, text):
    file = tmp_path / "clouds.yaml"
    file.write_text(text)
    connection.check_file(file)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("clouds:\n  a:\n    password: @secret\n", ":3: invalid YAML: found character"),
        ("clouds:\n  a: {password: secret\n", ":3: invalid YAML: "),
        ("a: b: secret", ":1: invalid YAML: mapping values are not allowed"),
        ("- secret", ": expected key clouds"),
        ("secret", ": expected key clouds"),
        ("clouds: [secret]", ": expected key clouds"),
        ("clouds:\n  a: secret", ": key clouds.a: expected a mapping"),
        (b"\xff\xfe\x00", ":1: not valid UTF-8"),
    ],
)
def test_malformed_files(tmp_path, text, rest):
    assert file_error(text, tmp_path).startswith(rest)


def test_malformed_json(tmp_path):
    text = '{"clouds":\n{"a": secret}}'
    assert file_error(text, tmp_path, "clouds.json").startswith(":2: invalid JSON: Expecting value")


def test_a_clouds_file_that_expands_without_end(tmp_path):
    names = "abcdefg"
    text = "clouds: {}\na: &a [x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{part}'] * 10)}]\n" for part, name in pairwise(names)
    )
    assert file_error(text, tmp_path).startswith(":7: invalid YAML: more than 200,000 values")
    text = "[" * 100_000
    assert file_error(text, tmp_path, "clouds.json").startswith(": invalid values")


def test_a_clouds_file_that_is_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "clouds.yaml")
    with pytest.raises(UserError, match="is a named pipe, not a file"):
        connection.check_file(tmp_path / "clouds.yaml")


def test_tabs_are_valid_in_json(tmp_path):
    file = tmp_path / "clouds.json"
    file.write_text('{\t"clouds": {}}')
    connection.check_file(file)


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("other"), UserError("mine")])
def test_other_exceptions_pass_unchanged(error):
    with pytest.raises(type(error)) as caught, connection.configuration_errors("a"):
        raise error
    assert caught.value is error


def test_an_unknown_authentication_type():
    assert "no authentication type 'v4'" in sentence(ksa.NoMatchingPlugin("v4"), "a")
    error = sdk.ConfigException(
        "An invalid auth-type was specified: v4. Valid choices are: password,none."
    )
    assert sentence(error) == "there is no authentication type 'v4': expected one of none, password"


def test_options_that_contradict_each_other():
    text = sentence(ksa.OptionError("You must provide\nan id"), "a")
    assert text == "cloud a: You must provide an id"


def test_an_option_that_the_authentication_type_does_not_accept():
    error = TypeError("Token.__init__() got an unexpected keyword argument 'username'")
    assert sentence(error, "a") == (
        "cloud a has an option that its authentication type does not accept: 'username'"
    )


def test_a_config_exception_about_a_region():
    error = sdk.ConfigException(
        "Region Mars is not a valid region name for cloud a. Valid choices are X,Y. Please note "
        "that region names are case sensitive."
    )
    assert sentence(error) == (
        "cloud a has no region 'Mars' in clouds.yaml: it has X,Y; see --os-region-name"
    )


def test_other_errors_keep_their_message():
    assert sentence(sdk.ConfigException("odd\nthing")) == "odd thing"


def test_no_clouds_file_is_read_from_dev_null(monkeypatch):
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", os.devnull)
    words = [f"--os-{name.replace('_', '-')}={value}" for name, value in AUTH.items()]
    assert connect(*words).config.auth["auth_url"] == ENDPOINTS["identity"]
