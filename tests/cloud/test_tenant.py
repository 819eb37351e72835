# SPDX-License-Identifier: Apache-2.0
"""A tenant without the role admin finds GPU flavors and boots servers, with either client."""

import pytest
from keystoneauth1 import loading, session

from tests.cloud import image, servers
from tests.cloud.commands import applied, nova_gpu, write_fleet

# Only the control plane's environment has this package.
nova_client = pytest.importorskip("novaclient.client")

_FLAVOR = "tenant.h100-sxm.2"


@pytest.fixture(scope="module")
def fleet(plane, tmp_path_factory):
    path = write_fleet(plane, tmp_path_factory.mktemp("fleet"), "tenant")
    with applied(plane, path):
        yield path


def test_a_tenant_boots_a_gpu_flavor_with_openstacksdk(plane, fleet):
    with plane.connection("tenant") as tenant:
        flavors = {flavor.name: flavor for flavor in tenant.compute.flavors()}
        assert {f"tenant.h100-sxm.{count}" for count in (1, 2, 4, 8)} <= flavors.keys()
        with servers.server(tenant, flavors[_FLAVOR], "sdk") as server:
            assert server.status == "ACTIVE", server.fault


def test_a_tenant_boots_a_gpu_flavor_with_novaclient(plane, fleet):
    with plane.connection("tenant") as tenant:
        settings = tenant.config.auth
        found = tenant.image.find_image(image.NAME).id
    loader = loading.get_plugin_loader("password")
    nova = nova_client.Client(
        "2.96", session=session.Session(auth=loader.load_from_options(**settings))
    )
    (flavor,) = [flavor for flavor in nova.flavors.list() if flavor.name == _FLAVOR]
    server = nova.servers.create("novaclient", found, flavor, nics="none")
    try:
        servers.wait_until_active(lambda: nova.servers.get(server.id).status)
    finally:
        server.delete()
        servers.wait_until_gone(lambda: [one.id for one in nova.servers.list()], server.id)


def test_another_project_has_no_access_to_the_flavors(plane, fleet):
    with plane.connection("other") as other:
        assert not [flavor for flavor in other.compute.flavors() if "tenant." in flavor.name]


@pytest.mark.parametrize("command", ["capacity", "lint"])
def test_a_tenant_is_told_in_one_sentence_that_a_command_is_for_administrators(
    plane, fleet, command
):
    done = nova_gpu(plane, command, "--fleet", fleet, cloud="tenant")
    assert done.returncode == 2
    assert not done.stdout
    # Notes on the fleet file may come first.
    *_, last = done.stderr.splitlines()
    assert "needs role admin; user tenant has only reader, member" in last
    assert "Traceback" not in done.stderr
