# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu apply`` on a real cloud: repeated, killed, while services die; limits are enforced."""

import re
import subprocess
import time
from pathlib import Path

import pytest
from openstack import exceptions

from nova_gpu_passthrough.cloud.apply import record
from tests.cloud import catalogue, commands, servers

_TIMEOUT = 120
_FLEET = """\
schema: nova-gpu-passthrough/fleet
version: 1
name: apply-test
groups:
- {{name: apply-h100, inventories: [{folder}/gpu01.yaml, {folder}/gpu02.yaml]}}
- {{name: apply-l40s, inventories: [{folder}/gpu03.yaml], availability_zone: apply-test}}
flavors:
- {{model: H100-SXM, counts: [1, 8], name: "apply.{{alias}}.{{count}}"}}
- {{model: L40S, name: "apply.{{alias}}.{{count}}"}}
projects:
- {{name: research, flavors: ["apply.*"], quotas: {{h100-sxm: 1}}}}
quotas: {{default: {{h100-sxm: 0}}}}
"""
_ONE = "apply.h100-sxm.1"
_GPUS = "class:CUSTOM_GPU_H100_SXM"


@pytest.fixture(scope="module")
def admin(plane):
    with plane.connection("admin") as cloud:
        yield cloud


@pytest.fixture(scope="module")
def as_found(admin):
    """Check that the tests restore the state of the cloud."""
    before = _state(admin)
    yield
    assert _state(admin) == before


@pytest.fixture
def fleet(plane, admin, as_found, tmp_path):
    """Write a fleet file; delete what was created for it at the end."""
    path = tmp_path / "fleet.yaml"
    path.write_text(_FLEET.format(folder=plane.inventories[0].parent))
    yield path
    commands.undo(plane, path)


@pytest.fixture
def command(plane, fleet):
    """Return arguments and options of a process that applies the file."""

    def make(*arguments, cloud="admin", program=("nova-gpu",)):
        environment = plane.environment(cloud)
        environment.pop("NOVA_GPU_FLEET", None)
        words = [*program, "apply", "--fleet", fleet, *arguments]
        pipe = subprocess.PIPE
        return words, {"env": environment, "stdout": pipe, "stderr": pipe, "text": True}

    return make


@pytest.fixture
def apply(command):
    """Run apply; return status, standard output, standard error."""

    def run(*arguments, **options):
        words, more = command(*arguments, **options)
        done = subprocess.run(words, **more, timeout=_TIMEOUT)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def under_way(command, fleet):
    """Start apply, and return its process once it creates the first object of a kind."""

    def start(kind="flavor"):
        words, more = command()
        process = subprocess.Popen(words, **more)
        place = record.default_path(fleet)
        deadline = time.monotonic() + _TIMEOUT
        while process.poll() is None and time.monotonic() < deadline:
            if place.exists() and f"kind: {kind}\n" in place.read_text():
                break
            time.sleep(0.005)
        return process

    return start


def _state(admin):
    """Return the state that apply may change."""
    compute = admin.compute
    flavors = {
        flavor.name: (
            flavor.vcpus,
            flavor.ram,
            flavor.disk,
            flavor.is_public,
            dict(flavor.extra_specs),
            ()
            if flavor.is_public
            else {entry["tenant_id"] for entry in compute.get_flavor_access(flavor)},
        )
        for flavor in compute.flavors(is_public=None, get_extra_specs=True)
    }
    aggregates = {one.name: (set(one.hosts), one.metadata) for one in compute.aggregates()}
    limits = {
        (one.resource_name, getattr(one, "project_id", None)): one.to_dict().get(value)
        for listed, value in (("registered_limits", "default_limit"), ("limits", "resource_limit"))
        for one in getattr(admin.identity, listed)()
    }
    traits = {trait.name for trait in admin.placement.traits()}
    classes = {one.name for one in admin.placement.resource_classes()}
    return flavors, aggregates, limits, traits, classes


def _flavor(admin, name=_ONE):
    return admin.compute.find_flavor(name, ignore_missing=False, get_extra_specs=True)


def _last(text):
    return text.strip().splitlines()[-1]


def test_a_second_run_changes_nothing(apply, admin):
    status, _, err = apply("--dry-run")
    assert status == 1, err
    status, out, err = apply()
    assert status == 0, err
    assert f"+++ flavor {_ONE} (fleet apply-test)\n" in out
    aggregates = {one.name: one for one in admin.compute.aggregates()}
    assert set(aggregates["gpu-apply-h100"].hosts) == {"gpu01", "gpu02"}
    assert aggregates["gpu-apply-l40s"].availability_zone == "apply-test"
    before = _state(admin)
    status, out, err = apply()
    assert (status, out) == (0, "")
    assert _last(err) == "the cloud matches fleet apply-test: nothing to change"
    assert _state(admin) == before
    # The plug-in of python-openstackclient does the same.
    assert apply("--dry-run", program=("openstack", "gpu"))[:2] == (0, "")


def test_a_tenant_gets_one_sentence(apply, fleet):
    status, out, err = apply(cloud="tenant")
    assert (status, out) == (2, "")
    assert _last(err).startswith("nova-gpu: traits: needs role admin; ")
    assert "Traceback" not in err
    assert not record.default_path(fleet).exists()


def test_limits_are_enforced(plane, apply, admin, fleet):
    assert apply()[0] == 0
    with plane.connection("tenant") as tenant, plane.connection("other") as other:
        with pytest.raises(exceptions.NotFoundException):
            other.compute.find_flavor(_ONE, ignore_missing=False)
        flavor = tenant.compute.find_flavor(_ONE, ignore_missing=False)
        with servers.server(tenant, flavor) as server:
            assert server.status == "ACTIVE"
            with (
                pytest.raises(exceptions.HttpException, match=_GPUS),
                servers.server(tenant, flavor),
            ):
                pass
            # To 0, which Keystone ignores, and a default that project limits refer to.
            text = fleet.read_text()
            text = text.replace("default: {h100-sxm: 0}", "default: {h100-sxm: 3}")
            fleet.write_text(text.replace("h100-sxm: 1}", "h100-sxm: 0}"))
            status, out, err = apply()
            assert status == 0, err
            assert f"+{_GPUS} of research: 0\n" in out
            assert f"+{_GPUS}: 3\n" in out
            assert apply("--dry-run")[:2] == (0, "")
        with pytest.raises(exceptions.HttpException, match=_GPUS), servers.server(tenant, flavor):
            pass


def test_without_quotas_no_error_is_logged_for_gpus(plane, apply, admin, fleet):
    """oslo.limit logs one for each server if a resource has no registered limit."""
    text = fleet.read_text().partition("quotas: {default")[0]
    fleet.write_text(text.replace(", quotas: {h100-sxm: 1}", ""))
    status, out, err = apply()
    assert status == 0, err
    assert f"+{_GPUS}: -1\n" in out
    logs = [plane.site.log(name) for name in ("nova-api", "nova-conductor")]
    before = [len(log.read_text()) for log in logs]
    with plane.connection("tenant") as tenant:
        flavor = tenant.compute.find_flavor(_ONE, ignore_missing=False)
        with servers.server(tenant, flavor) as server:
            assert server.status == "ACTIVE"
    for log, start in zip(logs, before, strict=True):
        assert "Unable to find registered limit" not in log.read_text()[start:]


def test_only_its_projects_get_the_hosts_of_a_group(plane, apply, admin, fleet):
    text = fleet.read_text().partition("quotas: {default")[0]
    text = text.replace("- {name: apply-h100,", "- {name: apply-h100, projects: [research],")
    text = text.replace(", quotas: {h100-sxm: 1}", "")
    text += '- {name: training, flavors: ["apply.h100*"]}\n'
    fleet.write_text(text)
    status, out, err = apply()
    assert status == 0, err
    assert "+projects:\n+- research\n" in out
    assert "project training may use apply.h100-sxm.1, apply.h100-sxm.8, but all hosts" in err
    assert apply("--dry-run")[:2] == (0, "")
    listed = commands.nova_gpu(plane, "host", "list", "-f", "csv", "-c", "Host", "-c", "Projects")
    assert listed.stdout.splitlines()[1:] == [
        '"gpu01","research"',
        '"gpu02","research"',
        '"gpu03",""',
    ]
    with plane.connection("tenant") as owner, plane.connection("other") as intruder:
        flavor = owner.compute.find_flavor(_ONE, ignore_missing=False)
        with servers.server(intruder, flavor) as refused, servers.server(owner, flavor) as server:
            assert (refused.status, server.status) == ("ERROR", "ACTIVE")
            assert "No valid host was found" in refused.fault["message"]
        # The intruder is invited.
        fleet.write_text(text.replace("projects: [research]", "projects: [research, training]"))
        status, out, err = apply()
        assert status == 0, err
        assert "+- training\n" in out
        with servers.server(intruder, flavor) as server:
            assert server.status == "ACTIVE"


def test_a_limit_on_disk_is_enforced(plane, apply, fleet):
    text = fleet.read_text()
    text = text.replace(
        'name: "apply.{alias}.{count}"', 'name: "apply.{alias}.{count}", disk_gib: 10'
    )
    text = text.replace("quotas: {h100-sxm: 1}", "quotas: {h100-sxm: 2, disk_gib: 15}")
    # Keep the current value: an adopted limit is changed, and stays.
    default = catalogue.LIMITS["class:DISK_GB"]
    text = text.replace("default: {h100-sxm: 0}", f"default: {{h100-sxm: 0, disk_gib: {default}}}")
    fleet.write_text(text)
    status, out, err = apply()
    assert status == 0, err
    assert "+class:DISK_GB of research: 15\n" in out
    with plane.connection("tenant") as tenant:
        flavor = tenant.compute.find_flavor(_ONE, ignore_missing=False)
        with servers.server(tenant, flavor) as server:
            assert server.status == "ACTIVE"
            with (
                pytest.raises(exceptions.HttpException, match="class:DISK_GB"),
                servers.server(tenant, flavor),
            ):
                pass


def test_a_flavor_in_use_is_changed_only_on_request(plane, apply, admin, fleet):
    assert apply()[0] == 0
    before = dict(_flavor(admin).extra_specs)
    with plane.connection("tenant") as tenant, servers.server(tenant, _flavor(admin)) as server:
        assert server.status == "ACTIVE"
        text = fleet.read_text()
        fleet.write_text(text.replace("counts: [1, 8],", "counts: [1, 8], vcpus_per_gpu: 4,"))
        status, out, err = apply()
        assert status == 0, err
        assert f"skipped: flavor {_ONE}: 1 server uses it (such as server, {server.id})" in err
        assert f"flavor {_ONE}" not in out
        assert _flavor(admin).extra_specs == before
        old = _flavor(admin)
        status, out, err = apply("--change-used")
        assert status == 0, err
        assert f"+++ flavor {_ONE} (fleet apply-test; deleted and created again" in out
        new = _flavor(admin)
        assert (new.id, new.vcpus, old.vcpus) == (old.id, 4, 14)
        # The server keeps its copy of the flavor.
        assert admin.compute.get_server(server.id).flavor.vcpus == old.vcpus
        assert apply("--dry-run")[:2] == (0, "")


def test_prune_deletes_foreign_flavors_with_gpus_of_the_fleet(apply, admin):
    assert apply()[0] == 0
    specs = {"pci_passthrough:alias": "h100-sxm:2"}
    with servers.flavor(admin, "foreign-h100", 2, 1024, specs) as made:
        status, out, err = apply()
        assert (status, out) == (0, "")
        assert "left alone: flavor foreign-h100: not in the fleet file, and it requests" in err
        status, out, err = apply("--prune")
        assert status == 0, err
        assert admin.compute.find_flavor("foreign-h100") is None
        admin.compute.create_flavor(id=made.id, name=made.name, vcpus=2, ram=1024, disk=10)


def test_a_second_run_completes_a_killed_one(apply, under_way, admin, fleet):
    process = under_way()
    process.kill()
    process.communicate()
    assert not record.load(record.default_path(fleet)).complete
    status, _, err = apply()
    assert status == 0, err
    assert apply("--dry-run")[:2] == (0, "")
    # The fixture checks that the record has every object that was created.
    assert record.load(record.default_path(fleet)).complete


def test_a_second_run_completes_an_interrupted_one(apply, under_way):
    process = under_way()
    process.terminate()
    _, err = process.communicate(timeout=_TIMEOUT)
    assert process.returncode == 130, err
    assert re.fullmatch(
        r"nova-gpu: interrupted: \d+ of \d+ changes done; run it again to go on", _last(err)
    )
    assert apply()[0] == 0
    assert apply("--dry-run")[:2] == (0, "")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("nova-api", "flavor"),
        ("placement", "aggregate"),
        ("mariadb", "flavor"),
        ("rabbitmq", "aggregate"),
    ],
)
def test_a_service_that_dies_in_the_middle_loses_nothing(
    plane, admin, apply, under_way, name, kind
):
    if not plane.services:
        pytest.skip("services of a cloud of another process are not killed")
    process = under_way(kind)
    service = plane.services[name]
    service.kill()
    service.start()
    service.wait_ready()
    _, err = process.communicate(timeout=_TIMEOUT)
    assert process.returncode in (0, 2, 130), err
    assert "Traceback" not in err
    if process.returncode:
        assert "changes done; run it again to go on" in _last(err)
    status, _, err = apply()
    assert status == 0, err
    assert apply("--dry-run")[:2] == (0, "")
    # Nova updates Placement only once when a host joins an aggregate.
    for one in admin.compute.aggregates():
        members = admin.placement.resource_providers(member_of=one.uuid)
        assert {provider.name for provider in members} == set(one.hosts)


def test_an_unreachable_cloud_is_one_sentence(apply, plane, fleet, tmp_path, command):
    words, more = command()
    away = tmp_path / "clouds.yaml"
    text = Path(plane.clouds_yaml).read_text()
    away.write_text(re.sub(r"auth_url: .*", "auth_url: http://127.0.0.1:9/", text))
    more["env"]["OS_CLIENT_CONFIG_FILE"] = str(away)
    done = subprocess.run(words, **more, timeout=_TIMEOUT)
    assert done.returncode == 2
    assert "cannot be reached: Connection refused" in _last(done.stderr)
