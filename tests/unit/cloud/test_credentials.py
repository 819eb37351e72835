# SPDX-License-Identifier: Apache-2.0
"""What is wrong with clouds.yaml, arguments and environment is one sentence without secrets."""

import keystoneauth1.exceptions as ksa
import pytest
from openstack import exceptions as sdk

from nova_gpu_passthrough.cloud import connection
from nova_gpu_passthrough.errors import UserError


def told(text, path, name="clouds.yaml"):
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
    with pytest.raises(UserError) as caught, connection.checked(name):
        raise error
    return str(caught.value)


@pytest.mark.parametrize("text", ["", "clouds: {}", "clouds:\n  a:\n    auth: {}", "other: 1"])
def test_files_that_are_well(tmp_path, text):
    file = tmp_path / "clouds.yaml"
    file.write_text(text)
    connection.check_file(file)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("clouds:\n  a:\n    password: @secret\n", ":3: not YAML: found character '@'"),
        ("clouds:\n  a: {password: secret\n", ":3: not YAML: "),
        ("a: b: secret", ":1: not YAML: mapping values are not allowed here"),
        ("- secret", ": expected key clouds"),
        ("secret", ": expected key clouds"),
        ("clouds: [secret]", ": expected key clouds"),
        ("clouds:\n  a: secret", ": key clouds.a: expected a mapping"),
        (b"\xff\xfe\x00", ": expected text in UTF-8"),
    ],
)
def test_malformed_files(tmp_path, text, rest):
    assert told(text, tmp_path).startswith(rest)


def test_malformed_json(tmp_path):
    text = '{"clouds":\n{"a": secret}}'
    assert told(text, tmp_path, "clouds.json").startswith(":2: not JSON: Expecting value")


def test_tabs_are_well_in_json(tmp_path):
    file = tmp_path / "clouds.json"
    file.write_text('{\t"clouds": {}}')
    connection.check_file(file)


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("other"), UserError("mine")])
def test_other_exceptions_pass_unchanged(error):
    with pytest.raises(type(error)) as caught, connection.checked("a"):
        raise error
    assert caught.value is error


def test_a_kind_of_authentication_that_is_none():
    assert "no kind of authentication 'v4'" in sentence(ksa.NoMatchingPlugin("v4"), "a")
    error = sdk.ConfigException(
        "An invalid auth-type was specified: v4. Valid choices are: password,none."
    )
    assert (
        sentence(error) == "there is no kind of authentication 'v4': expected one of none, password"
    )


def test_options_that_contradict_each_other():
    text = sentence(ksa.OptionError("You must provide\nan id"), "a")
    assert text == "cloud a: You must provide an id"


def test_an_option_too_many():
    error = TypeError("Token.__init__() got an unexpected keyword argument 'username'")
    assert sentence(error, "a") == (
        "cloud a has more than its kind of authentication takes: 'username'"
    )


def test_a_region_that_clouds_yaml_does_not_have():
    error = sdk.ConfigException(
        "Region Mars is not a valid region name for cloud a. Valid choices are X,Y. Please note "
        "that region names are case sensitive."
    )
    assert sentence(error) == (
        "cloud a has no region 'Mars' in clouds.yaml: it has X,Y; see --os-region-name"
    )


def test_the_rest_in_its_own_words():
    assert sentence(sdk.ConfigException("odd\nthing")) == "odd thing"
