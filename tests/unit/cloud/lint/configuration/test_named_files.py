# SPDX-License-Identifier: Apache-2.0
import pytest

from nova_gpu_passthrough.cloud.lint.configuration import named_files
from nova_gpu_passthrough.cloud.lint.configuration.services import (
    CONTROL_PLANE,
    ServiceRole,
)
from nova_gpu_passthrough.errors import UserError


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "nova.conf"
    path.write_text("[pci]\nalias = a\n[api_database]\nconnection = x\n")
    return path


@pytest.mark.parametrize(
    ("word", "roles"),
    [
        ("gpu1", (ServiceRole.COMPUTE,)),
        ("ctl", CONTROL_PLANE),
        ("api@gpu1", (ServiceRole.API,)),
        ("nova-scheduler@ctl", (ServiceRole.SCHEDULER,)),
        ("placement@ctl", (ServiceRole.PLACEMENT,)),
    ],
)
def test_the_service_is_named_or_determined_by_the_host(conf, word, roles):
    (service,) = named_files.find([f"{word}={conf}"], ["gpu1"])
    assert service.roles == roles
    assert service.host == word.rpartition("@")[2]
    assert service.configuration.complete


def test_files_of_one_service_are_read_in_the_given_order(conf, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "1.conf").write_text("[pci]\nalias = b\n")
    (service,) = named_files.find([f"ctl={conf}", f"ctl={tmp_path / 'd'}"], [])
    assert [a.value for a in service.configuration.all(("pci", "alias"))] == ["a", "b"]


def test_a_directory_alone_is_not_complete(tmp_path, conf):
    (service,) = named_files.find([f"ctl={conf.parent}"], [])
    assert not service.configuration.complete


@pytest.mark.parametrize("word", ["nova.conf", "=x", "ctl=", "apis@ctl=x", "@ctl=x"])
def test_a_malformed_argument_is_refused(word):
    with pytest.raises(UserError, match=r"expected \[SERVICE@\]HOST=PATH"):
        named_files.find([word], [])


def test_an_empty_directory_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"no \*\.conf"):
        named_files.find([f"ctl={tmp_path}"], [])
    with pytest.raises(UserError, match="No such file"):
        named_files.find([f"ctl={tmp_path / 'none'}"], [])
