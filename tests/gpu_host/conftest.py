# SPDX-License-Identifier: Apache-2.0
"""Boots that the tests share; each happens once, for the first test that uses it.

================= ==================================================================
``plain``         the whole server without configuration except :data:`IOMMU_ON`
``configured``    its next boot, with the configuration that nova-gpu wrote into /etc
``iommu_off``     a small server with a kernel option that disables the IOMMU
``without_iommu`` a small server whose board has no IOMMU
================= ==================================================================
"""

import pytest

from tests.gpu_host import boots, packages
from tests.gpu_host.server import IOMMU_ON, GpuServer
from tests.gpu_host.topology import SMALL_SERVER


@pytest.fixture(scope="session", autouse=True)
def _machine():
    if why := packages.reason():
        pytest.skip(why)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    return GpuServer(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="session")
def plain(server):
    return boots.observe(
        server,
        ("system", "audit", "virtual_functions", "nodedev", "guests", "install", "generate"),
        guests=boots.PLAIN_GUESTS,
        files=boots.CONFIGURATION,
        command_line=IOMMU_ON,
    )


@pytest.fixture(scope="session")
def configured(server, plain):
    server.update_boot()
    steps = ("system", "audit", "compare", "guests")
    return boots.observe(server, steps, guests=boots.CONFIGURED_GUESTS)


@pytest.fixture(scope="session")
def iommu_off(tmp_path_factory):
    small = GpuServer(tmp_path_factory.mktemp("iommu-off"), SMALL_SERVER)
    return boots.observe(small, ("system", "audit"), command_line="intel_iommu=off")


@pytest.fixture(scope="session")
def without_iommu(tmp_path_factory):
    small = GpuServer(tmp_path_factory.mktemp("without-iommu"), SMALL_SERVER, iommu=False)
    return boots.observe(small, ("system", "audit"), command_line=IOMMU_ON)
