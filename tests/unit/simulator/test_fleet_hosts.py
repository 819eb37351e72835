# SPDX-License-Identifier: Apache-2.0
"""Hosts and flavors as they follow from inventories."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.packing.count_servers import servers
from nova_gpu_passthrough.packing.request_class import Reach
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


def test_hosts_have_what_servers_can_get(resolved):
    hgx, l40s = fleet_hosts.hosts(resolved)
    assert (hgx.name, hgx.model, hgx.gpus, hgx.vcpu_parts) == ("hgx1", "H100-SXM", 8, 1)
    assert {group.link for group in hgx.state.groups()} == {1}
    assert all(cell.pinned_cpus and cell.ram_mib for cell in hgx.state.cells)
    assert (l40s.name, l40s.model, l40s.gpus) == ("l40s1", "L40S", 2)
    assert {group.link for group in l40s.state.groups()} == {0}


def test_flavors_fill_the_hosts_that_they_are_made_for(resolved):
    hgx, l40s = fleet_hosts.hosts(resolved)
    classes = fleet_hosts.classes(resolved)
    assert {"gpu.h100-sxm.1", "gpu.h100-sxm.8", "gpu.l40s.1"} <= set(classes)
    for name, wanted in classes.items():
        host = hgx if wanted.model == "H100-SXM" else l40s
        assert servers(host.state, wanted) * wanted.gpus == host.gpus, name
    eight = classes["gpu.h100-sxm.8"]
    assert (eight.gpus, eight.numa_cells, eight.reach, eight.linked) == (8, 2, Reach.NEAR, True)
    assert eight.pinned_cpus == 24


def test_one_host_twice(tmp_path):
    paths = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for path in paths:
        path.write_text(store.dump(builders.hgx(), "nova-gpu host audit"))
    with pytest.raises(UserError, match="b.yaml is of host hgx1, of which another"):
        fleet_hosts.of_inventories(paths)
