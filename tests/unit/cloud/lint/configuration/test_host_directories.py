# SPDX-License-Identifier: Apache-2.0
import pytest

from nova_gpu_passthrough.cloud.lint.configuration import command_line, host_directories
from nova_gpu_passthrough.cloud.lint.configuration.services import CONTROL_PLANE, ServiceRole
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.settings import DeploymentTarget, Settings
from nova_gpu_passthrough.generate import render
from tests.unit.generate.builders import hgx


def put(root, *paths):
    for path in paths:
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"[DEFAULT]\nname = {path}\n[api_database]\nconnection = x\n")


def services_in(root, *computes):
    """Return host, roles and files of each service."""
    services = host_directories.find(root, computes)
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
    assert services_in(tmp_path, "gpu1") == [
        ("ctl", CONTROL_PLANE, ("ctl/etc/nova/nova.conf",), True),
        ("gpu1", (ServiceRole.COMPUTE,), ("gpu1/etc/nova/nova.conf",), True),
    ]


def test_a_host_without_an_api_database_is_a_compute_node_without_gpus(tmp_path):
    put(tmp_path, "cpu1/nova.conf")
    (tmp_path / "cpu1" / "nova.conf").write_text("[DEFAULT]\nmy_ip = 10.0.0.1\n")
    assert services_in(tmp_path) == [("cpu1", (ServiceRole.COMPUTE,), ("cpu1/nova.conf",), True)]


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
    assert services_in(tmp_path, "gpu1") == [("gpu1", (ServiceRole.COMPUTE,), files, True)]


def test_a_service_with_its_own_file_is_separate(tmp_path):
    put(tmp_path, "ctl/nova.conf", "ctl/nova-scheduler.conf")
    assert services_in(tmp_path) == [
        ("ctl", (ServiceRole.API, ServiceRole.CONDUCTOR), ("ctl/nova.conf",), True),
        ("ctl", (ServiceRole.SCHEDULER,), ("ctl/nova.conf", "ctl/nova-scheduler.conf"), True),
    ]


def test_fragments_alone_are_not_complete(tmp_path):
    put(tmp_path, "ctl/etc/nova/nova.conf.d/90.conf")
    assert services_in(tmp_path) == [
        ("ctl", CONTROL_PLANE, ("ctl/etc/nova/nova.conf.d/90.conf",), False)
    ]


@pytest.mark.parametrize("place", ["", "kolla/", "etc/kolla/"])
def test_kollas_directories_determine_the_service(tmp_path, place):
    names = ("nova-api", "nova-compute", "nova-conductor", "nova-scheduler")
    files = [f"ctl/{place}{name}/nova.conf" for name in names]
    other = [f"ctl/{place}nova-novncproxy/nova.conf", f"ctl/{place}placement-api/placement.conf"]
    put(tmp_path, *files, *other)
    assert services_in(tmp_path) == sorted(
        [
            ("ctl", (ServiceRole(name),), (file,), True)
            for name, file in zip(names, files, strict=True)
        ]
        + [("ctl", (ServiceRole.PLACEMENT,), (other[1],), True)]
    )


def test_placements_files_are_found(tmp_path):
    put(tmp_path, "ctl/etc/placement/placement.conf", "ctl/etc/placement/placement.conf.d/9.conf")
    files = ("ctl/etc/placement/placement.conf", "ctl/etc/placement/placement.conf.d/9.conf")
    assert services_in(tmp_path) == [("ctl", (ServiceRole.PLACEMENT,), files, True)]


@pytest.mark.parametrize("target", [DeploymentTarget.PLAIN, DeploymentTarget.KOLLA])
def test_generated_configuration_is_found_for_every_service(tmp_path, target):
    generated = render.generate([hgx("a"), hgx("b")], Settings(target=target))
    for file in generated.files:
        path = file.below(tmp_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)
    services = host_directories.find(tmp_path, ("a", "b"))
    roles = {(service.host, role) for service in services for role in service.roles}
    expected = {("control", role) for role in (*CONTROL_PLANE, ServiceRole.PLACEMENT)}
    assert roles == expected | {("a", ServiceRole.COMPUTE), ("b", ServiceRole.COMPUTE)}
    assert not any(service.configuration.complete for service in services)


def test_kollas_overrides_replace_each_other(tmp_path):
    put(tmp_path, "deploy/config/nova.conf", "deploy/config/nova/gpu1/nova.conf")
    compute = next(
        s for s in host_directories.find(tmp_path, ["gpu1"]) if s.roles == (ServiceRole.COMPUTE,)
    )
    assert compute.host == "gpu1"
    assert [a.value for a in compute.configuration.all(("DEFAULT", "name"))] == [
        "deploy/config/nova/gpu1/nova.conf"
    ]


def test_a_directory_without_configuration_is_refused(tmp_path):
    (tmp_path / "host").mkdir()
    with pytest.raises(UserError, match=r"no configuration of Nova found, expected a directory"):
        host_directories.find(tmp_path, [])


def test_a_missing_directory_is_refused(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        host_directories.find(tmp_path / "none", [])


def test_a_command_line_determines_the_order_for_its_service(tmp_path):
    put(tmp_path, "ctl/etc/nova/nova.conf", "ctl/etc/nova/nova.conf.d/90.conf")
    commands = command_line.parse_all(["nova-scheduler --config-file /etc/nova/nova.conf"])
    files = {
        role: [path.name for path in service.configuration.files]
        for service in host_directories.find(tmp_path, [], commands)
        for role in service.roles
    }
    assert files == {
        ServiceRole.API: ["nova.conf", "90.conf"],
        ServiceRole.CONDUCTOR: ["nova.conf", "90.conf"],
        ServiceRole.SCHEDULER: ["90.conf", "nova.conf"],
    }
