# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from nova_gpu_passthrough.cloud.fit import host_capacity
from nova_gpu_passthrough.cloud.fit.explain import hosts
from nova_gpu_passthrough.cloud.fit.explain.model import Answer
from nova_gpu_passthrough.cloud.fit.gpu_flavors import size
from nova_gpu_passthrough.cloud.view.model import DeviceState
from nova_gpu_passthrough.fleet import demand
from nova_gpu_passthrough.nova_rules.why_not import Cause, Stage
from nova_gpu_passthrough.policies.pack import Pack
from nova_gpu_passthrough.topology.fit import Reason
from tests.unit.cloud import builders, clouds
from tests.unit.generate import builders as inventories

FLEET = clouds.fleet(inventories.hgx("hgx1"), inventories.l40s("l40s1"))
ALIASES = demand.by_name(FLEET.aliases.values())
GPUS = [f"0000:{bus:02x}:00.0" for bus in range(0x20, 0x28)]


def asked(*args, **extra_specs):
    flavor = builders.flavor("f", *args, **extra_specs)
    return demand.read(size(flavor), flavor.extra_specs, ALIASES)


def answer(host, wanted, zone=None):
    return hosts.answer(host, host_capacity.room(host), wanted, Pack(), zone)


def test_a_host_that_fits_tells_devices_and_weight():
    found = answer(
        builders.host(FLEET, "hgx1", dict.fromkeys(GPUS[2:], DeviceState.IN_USE)), asked(2)
    )
    assert found.answer is Answer.FITS
    assert found.detail == (
        f"with {GPUS[0]} {GPUS[1]} on NUMA node 0, in link group nvs0/q0/p0, behind one switch, "
        "CPUs and memory of NUMA node 0; weight 1.00 (quality 1.00, policy 1.00)"
    )
    assert found.weight == pytest.approx(1.0)
    assert found.constraint == ""


def test_gpus_apart_weigh_less():
    found = answer(builders.host(FLEET, "hgx1"), asked(8, 24, hw__numa_nodes="2"))
    assert (
        "in link group nvs0, behind 4 switches, CPUs and memory of NUMA nodes 0, 1" in found.detail
    )
    assert found.weight < 0.9


def test_gpus_without_links_tell_none():
    found = answer(builders.host(FLEET, "l40s1"), asked(2, alias="l40s"))
    assert "link" not in found.detail


@pytest.mark.parametrize(
    ("changes", "wanted", "constraint"),
    [
        ({"up": False}, asked(), "nova-compute: host"),
        ({}, asked(1, 200), "Placement: vcpus"),
        ({}, asked(5), "GpuPassthroughFilter: free GPUs are not on allowed NUMA nodes"),
        ({}, asked(0, 20), "NUMATopologyFilter: numa"),
        ({}, asked(gpu__lnk="none"), "GpuPassthroughFilter: invalid request"),
        # The filter never sees a host that Placement does not name.
        ({}, asked(9, gpu__lnk="none"), "Placement: gpus"),
    ],
)
def test_the_first_constraint_that_fails(changes, wanted, constraint):
    host = dataclasses.replace(builders.host(FLEET, "hgx1"), **changes)
    found = answer(host, wanted)
    assert (found.answer, found.constraint) == (Answer.REFUSED, constraint)
    assert found.detail


def test_a_server_stays_in_its_availability_zone():
    host = builders.host(FLEET, "hgx1")
    assert answer(host, asked(), "nova").answer is Answer.FITS
    found = answer(host, asked(), "other")
    assert (found.refused.cause, found.refused.stage) == (Cause.AGGREGATE, Stage.PLACEMENT)
    assert found.detail == "the server must be in availability zone other, the host is in nova"


def test_a_reason_of_the_filter_is_the_filters():
    found = answer(builders.host(FLEET, "hgx1"), asked(3, gpu__switch="required"))
    assert found.refused.reason is Reason.SWITCH


def test_a_host_tells_what_a_server_has_of_it():
    server = builders.server("train", 0, range(2, 6))
    other = builders.server("other", 1, range(10, 12))
    holders = {GPUS[0]: server.id, GPUS[2]: server.id, GPUS[7]: other.id}
    host = builders.host(FLEET, "hgx1", servers=[server, other], holders=holders)
    wanted = asked(2, 4)
    left = host_capacity.without_server(
        host_capacity.room(host), host, server.id, wanted.needs.query.resources
    )
    found = hosts.here(host, left, wanted, server.id, Pack())
    assert found.answer is Answer.HERE
    assert found.detail.startswith(
        f"has {GPUS[0]} {GPUS[2]} on NUMA node 0, in link group nvs0/q0, behind 2 switches, "
        "CPUs and memory of NUMA node 0; weight 0.94 (quality 0.95, policy "
    )
    # It could have better ones now.
    better = hosts.answer(host, left, wanted, Pack())
    assert better.weight > found.weight


def test_a_server_with_fewer_gpus_than_its_flavor_has_no_weight():
    server = builders.server("train", 0, range(2, 6))
    host = builders.host(FLEET, "hgx1", servers=[server], holders={GPUS[0]: server.id})
    found = hosts.here(host, host_capacity.room(host), asked(2), server.id, Pack())
    assert (found.weight, found.refused) == (None, None)


def test_a_server_without_devices_says_so():
    server = builders.server("cpu", 0, range(2, 6))
    host = builders.host(FLEET, "hgx1", servers=[server])
    found = hosts.here(host, host_capacity.room(host), asked(0), server.id, Pack())
    assert found.detail == "has no devices, CPUs and memory of NUMA node 0"
