# SPDX-License-Identifier: Apache-2.0
"""Hosts and flavors of inventories."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.packing.count_servers import max_servers
from nova_gpu_passthrough.packing.request_class import GpuLocality
from nova_gpu_passthrough.simulator import fleet_hosts
from tests.unit.generate import builders


@pytest.fixture
def resolved(tmp_path):
    paths = []
    for found in (builders.hgx(), builders.l40s(count=2)):
        path = tmp_path / f"{found.host}.yaml"
        path.write_text(store.dump(found, "nova-gpu host audit"))
        paths.append(path)
    return fleet_hosts.of_inventories(paths)


def test_hosts_have_the_resources_for_servers(resolved):
    hgx, l40s = fleet_hosts.hosts(resolved)
    assert (hgx.name, hgx.model, hgx.gpus, hgx.units_per_vcpu) == ("hgx1", "H100-SXM", 8, 1)
    assert {group.link for group in hgx.state.gpu_groups()} == {1}
    assert all(cell.pinned_cpus and cell.ram_mib for cell in hgx.state.cells)
    assert (l40s.name, l40s.model, l40s.gpus) == ("l40s1", "L40S", 2)
    assert {group.link for group in l40s.state.gpu_groups()} == {0}


def test_flavors_fill_the_hosts_for_which_they_are_generated(resolved):
    hgx, l40s = fleet_hosts.hosts(resolved)
    classes = fleet_hosts.classes(resolved)
    assert {"gpu.h100-sxm.1", "gpu.h100-sxm.8", "gpu.l40s.1"} <= set(classes)
    for name, request_class in classes.items():
        host = hgx if request_class.model == "H100-SXM" else l40s
        assert max_servers(host.state, request_class) * request_class.gpus == host.gpus, name
    eight = classes["gpu.h100-sxm.8"]
    assert (eight.gpus, eight.numa_cells, eight.gpu_locality, eight.linked) == (
        8,
        2,
        GpuLocality.LOCAL,
        True,
    )
    assert eight.pinned_cpus == 24


def test_two_inventories_of_one_host_are_refused(tmp_path):
    paths = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for path in paths:
        path.write_text(store.dump(builders.hgx(), "nova-gpu host audit"))
    with pytest.raises(UserError, match="b.yaml: another inventory of host hgx1 was given"):
        fleet_hosts.of_inventories(paths)
