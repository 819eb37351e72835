# SPDX-License-Identifier: Apache-2.0
import pytest

from nova_gpu_passthrough.cloud.lint.configuration import named
from nova_gpu_passthrough.cloud.lint.configuration.services import CONTROL, Role, Service
from nova_gpu_passthrough.cloud.lint.configuration.values import Configuration
from nova_gpu_passthrough.errors import UserError


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "nova.conf"
    path.write_text("[pci]\nalias = a\n[api_database]\nconnection = x\n")
    return path


@pytest.mark.parametrize(
    ("word", "roles"),
    [
        ("gpu1", (Role.COMPUTE,)),
        ("ctl", CONTROL),
        ("api@gpu1", (Role.API,)),
        ("nova-scheduler@ctl", (Role.SCHEDULER,)),
        ("placement@ctl", (Role.PLACEMENT,)),
    ],
)
def test_the_service_is_named_or_follows_from_the_host(conf, word, roles):
    (service,) = named.find([f"{word}={conf}"], ["gpu1"])
    assert service.roles == roles
    assert service.host == word.rpartition("@")[2]
    assert service.configuration.complete


def test_files_of_one_service_are_read_in_their_order(conf, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "1.conf").write_text("[pci]\nalias = b\n")
    (service,) = named.find([f"ctl={conf}", f"ctl={tmp_path / 'd'}"], [])
    assert [a.value for a in service.configuration.all(("pci", "alias"))] == ["a", "b"]


def test_a_directory_alone_has_fragments(tmp_path, conf):
    (service,) = named.find([f"ctl={conf.parent}"], [])
    assert not service.configuration.complete


@pytest.mark.parametrize("word", ["nova.conf", "=x", "ctl=", "apis@ctl=x", "@ctl=x"])
def test_a_malformed_word_is_told_with_what_was_expected(word):
    with pytest.raises(UserError, match=r"expected \[SERVICE@\]HOST=PATH"):
        named.find([word], [])


def test_an_empty_directory_and_a_missing_file_are_told(tmp_path):
    with pytest.raises(UserError, match=r"no \*\.conf"):
        named.find([f"ctl={tmp_path}"], [])
    with pytest.raises(UserError, match="No such file"):
        named.find([f"ctl={tmp_path / 'none'}"], [])


def test_named_services_go_before_those_that_were_found():
    old, new = Configuration((), ()), Configuration((), (), False)
    found = [Service(CONTROL, "ctl", old), Service((Role.COMPUTE,), "gpu1", old)]
    put = named.put_over(found, [Service((Role.SCHEDULER,), "ctl", new)])
    assert [(s.roles, s.host, s.configuration is new) for s in put] == [
        ((Role.API, Role.CONDUCTOR), "ctl", False),
        ((Role.COMPUTE,), "gpu1", False),
        ((Role.SCHEDULER,), "ctl", True),
    ]
