# SPDX-License-Identifier: Apache-2.0
import pytest

from nova_gpu_passthrough.cloud.lint.configuration import layout, started
from nova_gpu_passthrough.cloud.lint.configuration.services import CONTROL, Role
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.settings import Settings, Target
from nova_gpu_passthrough.generate import render
from tests.unit.generate.builders import hgx


def put(root, *paths):
    for path in paths:
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"[DEFAULT]\nname = {path}\n[api_database]\nconnection = x\n")


def found(root, *computes):
    """Roles and files of each service, by host."""
    services = layout.find(root, computes)
    return sorted(
        (
            service.host,
            service.roles,
            tuple(str(path.relative_to(root)) for path in service.configuration.files),
            service.configuration.complete,
        )
        for service in services
    )


def test_a_host_of_the_fleet_is_a_compute_node_and_others_are_control_plane(tmp_path):
    put(tmp_path, "gpu1/etc/nova/nova.conf", "ctl/etc/nova/nova.conf")
    assert found(tmp_path, "gpu1") == [
        ("ctl", CONTROL, ("ctl/etc/nova/nova.conf",), True),
        ("gpu1", (Role.COMPUTE,), ("gpu1/etc/nova/nova.conf",), True),
    ]


def test_a_host_that_is_told_no_api_database_is_a_compute_node_without_gpus(tmp_path):
    put(tmp_path, "cpu1/nova.conf")
    (tmp_path / "cpu1" / "nova.conf").write_text("[DEFAULT]\nmy_ip = 10.0.0.1\n")
    assert found(tmp_path) == [("cpu1", (Role.COMPUTE,), ("cpu1/nova.conf",), True)]


@pytest.mark.parametrize("place", ["", "nova/", "etc/nova/"])
def test_files_are_read_in_the_order_of_oslo_config(tmp_path, place):
    files = (
        f"gpu1/{place}nova.conf",
        f"gpu1/{place}nova-compute.conf",
        f"gpu1/{place}nova.conf.d/10.conf",
        f"gpu1/{place}nova.conf.d/20.conf",
        f"gpu1/{place}nova-compute.conf.d/10.conf",
    )
    put(tmp_path, *files, f"gpu1/{place}nova.conf.d/README")
    assert found(tmp_path, "gpu1") == [("gpu1", (Role.COMPUTE,), files, True)]


def test_a_service_with_a_file_of_its_own_stands_apart(tmp_path):
    put(tmp_path, "ctl/nova.conf", "ctl/nova-scheduler.conf")
    assert found(tmp_path) == [
        ("ctl", (Role.API, Role.CONDUCTOR), ("ctl/nova.conf",), True),
        ("ctl", (Role.SCHEDULER,), ("ctl/nova.conf", "ctl/nova-scheduler.conf"), True),
    ]


def test_fragments_alone_are_not_all_that_a_service_reads(tmp_path):
    put(tmp_path, "ctl/etc/nova/nova.conf.d/90.conf")
    assert found(tmp_path) == [("ctl", CONTROL, ("ctl/etc/nova/nova.conf.d/90.conf",), False)]


@pytest.mark.parametrize("place", ["", "kolla/", "etc/kolla/"])
def test_kollas_directories_tell_the_service(tmp_path, place):
    names = ("nova-api", "nova-compute", "nova-conductor", "nova-scheduler")
    files = [f"ctl/{place}{name}/nova.conf" for name in names]
    other = [f"ctl/{place}nova-novncproxy/nova.conf", f"ctl/{place}placement-api/placement.conf"]
    put(tmp_path, *files, *other)
    assert found(tmp_path) == sorted(
        [("ctl", (Role(name),), (file,), True) for name, file in zip(names, files, strict=True)]
        + [("ctl", (Role.PLACEMENT,), (other[1],), True)]
    )


def test_placements_files_are_found(tmp_path):
    put(tmp_path, "ctl/etc/placement/placement.conf", "ctl/etc/placement/placement.conf.d/9.conf")
    files = ("ctl/etc/placement/placement.conf", "ctl/etc/placement/placement.conf.d/9.conf")
    assert found(tmp_path) == [("ctl", (Role.PLACEMENT,), files, True)]


@pytest.mark.parametrize("target", [Target.PLAIN, Target.KOLLA])
def test_what_is_generated_is_found_for_every_service(tmp_path, target):
    generated = render.generate([hgx("a"), hgx("b")], Settings(target=target))
    for file in generated.files:
        path = file.below(tmp_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)
    services = layout.find(tmp_path, ("a", "b"))
    roles = {(service.host, role) for service in services for role in service.roles}
    wanted = {("control", role) for role in (*CONTROL, Role.PLACEMENT)}
    assert roles == wanted | {("a", Role.COMPUTE), ("b", Role.COMPUTE)}
    assert not any(service.configuration.complete for service in services)


def test_kollas_overrides_replace_each_other(tmp_path):
    put(tmp_path, "deploy/config/nova.conf", "deploy/config/nova/gpu1/nova.conf")
    compute = next(s for s in layout.find(tmp_path, ["gpu1"]) if s.roles == (Role.COMPUTE,))
    assert compute.host == "gpu1"
    assert [a.value for a in compute.configuration.all(("DEFAULT", "name"))] == [
        "deploy/config/nova/gpu1/nova.conf"
    ]


def test_a_directory_without_configuration_is_refused_with_what_was_expected(tmp_path):
    (tmp_path / "host").mkdir()
    with pytest.raises(UserError, match=r"no configuration of Nova found, expected a directory"):
        layout.find(tmp_path, [])


def test_a_directory_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        layout.find(tmp_path / "none", [])


def test_a_command_line_says_for_its_service_what_is_read_last(tmp_path):
    put(tmp_path, "ctl/etc/nova/nova.conf", "ctl/etc/nova/nova.conf.d/90.conf")
    commands = started.parse_all(["nova-scheduler --config-file /etc/nova/nova.conf"])
    files = {
        role: [path.name for path in service.configuration.files]
        for service in layout.find(tmp_path, [], commands)
        for role in service.roles
    }
    assert files == {
        Role.API: ["nova.conf", "90.conf"],
        Role.CONDUCTOR: ["nova.conf", "90.conf"],
        Role.SCHEDULER: ["90.conf", "nova.conf"],
    }
