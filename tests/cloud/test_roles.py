# SPDX-License-Identifier: Apache-2.0
"""What administrators, auditors, readers and tenants see of a real control plane."""

import contextlib
import json
import shutil

import pytest
import yaml
from openstack import exceptions

from tests.checkout import ROOT
from tests.cloud import commands, image, servers
from tests.cloud.commands import applied, nova_gpu
from tests.cloud.site import PASSWORD

_QUOTAS = """\
    quotas: {h100-sxm: 8, l40s: 4, servers: 20, vcpus: 400}
quotas:
  default: {servers: 200, vcpus: 4000}
"""
_AUDITOR = "auditor"


@pytest.fixture(scope="module")
def fleet(plane, tmp_path_factory):
    """A fleet whose project research may use eight of the 16 H100; it uses two of them."""
    path = commands.write_fleet(plane, tmp_path_factory.mktemp("fleet"), "roles")
    text = path.read_text().replace('flavors: ["roles.*"]}', 'flavors: ["roles.*"]')
    text = text.replace("  - {name: research, domain", "  - name: research\n    domain")
    text = text.replace("Default, flavors", "Default\n    flavors")
    path.write_text(text + _QUOTAS)
    with applied(plane, path):
        yield path


@pytest.fixture(scope="module")
def pair(plane, fleet):
    """A tenant's server with two H100."""
    with plane.connection("tenant") as tenant:
        flavor = tenant.compute.find_flavor("roles.h100-sxm.2", ignore_missing=False)
        with servers.server(tenant, flavor, "roles-pair") as server:
            assert server.status == "ACTIVE"
            yield server


@pytest.fixture(scope="module")
def auditor(plane):
    """A user with the role of ``etc/policy``; services read policies while they run."""
    folders = {name: plane.site.control / name for name in ("nova", "placement", "keystone")}
    clouds = plane.clouds_yaml.read_text()
    with contextlib.ExitStack() as stack, plane.connection("admin") as admin:
        identity = admin.identity
        role = identity.create_role(name=_AUDITOR)
        stack.callback(identity.delete_role, role)
        user = identity.create_user(name=_AUDITOR, password=PASSWORD, domain_id="default")
        stack.callback(identity.delete_user, user)
        project = identity.find_project("admin", ignore_missing=False)
        for one in (role, identity.find_role("reader", ignore_missing=False)):
            identity.assign_project_role_to_user(project, user, one)
        for name, folder in folders.items():
            shutil.copy(ROOT / "etc" / "policy" / f"{name}.yaml", folder / "policy.yaml")
            stack.callback((folder / "policy.yaml").unlink)
        known = yaml.safe_load(clouds)
        known["clouds"][_AUDITOR] = yaml.safe_load(clouds)["clouds"]["reader"]
        known["clouds"][_AUDITOR]["auth"]["username"] = _AUDITOR
        plane.clouds_yaml.write_text(yaml.safe_dump(known))
        stack.callback(plane.clouds_yaml.write_text, clouds)
        yield _AUDITOR


def rows(plane, *words, cloud="admin", status=0):
    done = nova_gpu(plane, *words, "-f", "json", cloud=cloud)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout), done.stderr


def test_the_status_of_an_administrator(plane, fleet, pair):
    document, _ = rows(plane, "status", "--fleet", fleet)
    models = {one["model"]: one for one in document["models"]}
    assert (models["H100-SXM"]["total"], models["H100-SXM"]["in_use"]) == (16, 2)
    assert models["L40S"]["usable"] == 4
    largest = {one["model"]: (one["flavor"], one["servers"]) for one in document["flavors"]}
    assert largest == {"H100-SXM": ("roles.h100-sxm.8", 1), "L40S": ("roles.l40s.4", 1)}
    assert document["attention"] == []
    used = {(one["project"], one["model"]): one for one in document["quotas"]}
    assert used["research", "H100-SXM"]["used"] == 2
    assert used["research", "H100-SXM"]["limit"] == 8


def test_a_disabled_host_needs_attention(plane, fleet, pair):
    with plane.connection("admin") as admin:
        (service,) = admin.compute.services(host="gpu03", binary="nova-compute")
        admin.compute.disable_service(service, disabled_reason="new fans")
        try:
            document, _ = rows(plane, "status", "--fleet", fleet, status=1)
        finally:
            admin.compute.enable_service(service)
    assert document["attention"] == [
        {
            "text": "1 host is disabled (gpu03: new fans)",
            "command": "nova-gpu host list --long",
        }
    ]


def test_quotas_of_all_projects_and_of_the_own(plane, fleet, pair):
    expected = {
        "Project": "research",
        "Model": "H100-SXM",
        "Limit": 8,
        "Used": 2,
        "Left": 6,
    }
    for cloud in ("admin", "tenant"):
        assert expected in rows(plane, "quota", "list", cloud=cloud)[0]
    own, err = rows(plane, "quota", "list", cloud="reader")
    assert {row["Project"] for row in own} == {"admin"}
    assert "only project admin is shown: all projects need role admin" in err


def test_a_tenant_can_boot_what_is_available_and_no_more(plane, fleet, pair):
    found, _ = rows(plane, "available", cloud="tenant")
    assert {row["Flavor"]: row["Servers"] for row in found} == {
        "roles.h100-sxm.1": 6,
        "roles.h100-sxm.2": 3,
        "roles.h100-sxm.4": 1,
        "roles.h100-sxm.8": 0,
        "roles.l40s.1": 4,
        "roles.l40s.2": 2,
        "roles.l40s.4": 1,
    }
    with plane.connection("tenant") as tenant:
        large, four = (
            tenant.compute.find_flavor(f"roles.h100-sxm.{count}", ignore_missing=False)
            for count in (8, 4)
        )
        with pytest.raises(exceptions.ForbiddenException, match="over limit of 8"):
            tenant.compute.create_server(
                name="roles-large",
                flavor_id=large.id,
                image_id=tenant.image.find_image(image.NAME).id,
                networks="none",
            )
        with servers.server(tenant, four, "roles-four") as server:
            assert server.status == "ACTIVE"
            found, _ = rows(plane, "available", "roles.h100-sxm.4", cloud="tenant", status=1)
            assert found[0]["Limited By"] == "2 of 8 H100-SXM left"


def test_capacity_counts_what_the_quota_of_a_project_permits(plane, fleet, pair):
    words = ("capacity", "--fleet", fleet, "--project")
    found, err = rows(plane, *words, "research")
    numbers = {row["Flavor"]: (row["Servers"], row["By Quota"]) for row in found}
    assert numbers["roles.h100-sxm.1"] == (14, 6)
    assert numbers["roles.h100-sxm.8"] == (1, 0)
    assert "quota" not in err


def test_what_is_available_by_the_public_report(plane, fleet, pair, tmp_path):
    page = tmp_path / "gpus.html"
    done = nova_gpu(plane, "report", "--fleet", fleet, "--public", "--html", page)
    assert done.returncode == 0, done.stderr
    found, err = rows(plane, "available", "--from", page, cloud="tenant")
    by_fleet = {row["Flavor"]: row["By Fleet"] for row in found}
    assert (by_fleet["roles.h100-sxm.1"], by_fleet["roles.h100-sxm.8"]) == (14, 1)
    assert "the fleet is as of " in err


def test_another_project_may_use_no_gpus(plane, fleet):
    done = nova_gpu(plane, "available", cloud="other")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Project training may use no flavor with GPUs" in done.stderr


def test_a_reader_gets_the_own_quota_and_is_told_the_rest(plane, fleet, pair):
    document, _ = rows(plane, "status", cloud="tenant", status=2)
    assert document["models"] is None
    used = {one["model"]: one["used"] for one in document["quotas"]}
    assert used["H100-SXM"] == 2
    assert document["notes"][0].startswith(
        "hosts are not shown: needs role admin; user tenant has only reader, member in project "
        "research (Placement refused GET "
    )


def test_an_auditor_sees_what_an_administrator_sees(plane, fleet, pair, auditor):
    for words in (("host", "list"), ("device", "list"), ("capacity", "--fleet", fleet)):
        expected, _ = rows(plane, *words)
        found, err = rows(plane, *words, cloud=auditor)
        for row in (*expected, *found):
            # The time; and NUMA nodes of other projects' servers, which Nova hides.
            row.pop("Taken At", None)
            row.pop("Exact", None)
        assert found == expected
        assert "without role admin, " in err
    document, _ = rows(plane, "status", "--fleet", fleet, cloud=auditor)
    assert document["models"] == rows(plane, "status", "--fleet", fleet)[0]["models"]


def test_an_auditor_changes_nothing(plane, fleet, auditor):
    with plane.connection(auditor) as connection:
        for call in (
            lambda: connection.compute.create_flavor(name="x", vcpus=1, ram=1, disk=1),
            lambda: connection.compute.create_aggregate(name="x"),
            lambda: connection.placement.create_resource_provider(name="x"),
            lambda: connection.identity.create_project(name="x", domain_id="default"),
        ):
            with pytest.raises(exceptions.ForbiddenException):
                call()
