# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from nova_gpu_passthrough.cloud.fit import free_capacity, host_explanation
from nova_gpu_passthrough.cloud.fit.gpu_flavors import size
from nova_gpu_passthrough.cloud.fit.host_explanation import HostAnswer
from nova_gpu_passthrough.cloud.fit.host_judge import HostJudge
from nova_gpu_passthrough.cloud.view.model import DeviceState
from nova_gpu_passthrough.fleet import demand
from nova_gpu_passthrough.nova_rules.filters.model import FilteredServer
from nova_gpu_passthrough.policies.pack import Pack
from nova_gpu_passthrough.topology.fit import FitReason
from tests.unit.cloud import builders, clouds
from tests.unit.generate import builders as inventories

FLEET = clouds.fleet(inventories.hgx("hgx1"), inventories.l40s("l40s1"))
ALIASES = demand.by_name(FLEET.aliases.values())
GPUS = [f"0000:{bus:02x}:00.0" for bus in range(0x20, 0x28)]


def demand_of(*args, **extra_specs):
    flavor = builders.flavor("f", *args, **extra_specs)
    return demand.read(size(flavor), flavor.extra_specs, ALIASES)


def explain(host, flavor_demand):
    judge = HostJudge(FLEET, {}, flavor_demand, FilteredServer("f"))
    return host_explanation.explain_host(
        host, free_capacity.of_host(host), flavor_demand, judge, Pack()
    )


def test_a_host_that_fits_shows_devices_and_weight():
    found = explain(
        builders.host(FLEET, "hgx1", dict.fromkeys(GPUS[2:], DeviceState.IN_USE)), demand_of(2)
    )
    assert found.answer is HostAnswer.FITS
    assert found.detail == (
        f"with {GPUS[0]} {GPUS[1]} on NUMA node 0, in link group nvs0/q0/p0, behind one switch, "
        "CPUs and memory of NUMA node 0; weight 1.00 (quality 1.00, policy 1.00)"
    )
    assert found.weight == pytest.approx(1.0)
    assert found.constraints == ()


def test_gpus_behind_several_switches_have_a_lower_weight():
    found = explain(builders.host(FLEET, "hgx1"), demand_of(8, 24, hw__numa_nodes="2"))
    assert (
        "in link group nvs0, behind 4 switches, CPUs and memory of NUMA nodes 0, 1" in found.detail
    )
    assert found.weight < 0.9


def test_gpus_without_links_show_none():
    found = explain(builders.host(FLEET, "l40s1"), demand_of(2, alias="l40s"))
    assert "link" not in found.detail


@pytest.mark.parametrize(
    ("changes", "flavor_demand", "label", "words"),
    [
        ({"up": False}, demand_of(), "by nova-compute (host)", "nova-compute is down"),
        ({}, demand_of(1, 200), "by Placement (vcpus)", "PCPU: 200 requested, "),
        (
            {},
            demand_of(5),
            "by GpuPassthroughFilter (numa)",
            "free GPUs are not on allowed NUMA nodes: ",
        ),
        ({}, demand_of(0, 20), "by NUMATopologyFilter (numa)", "the guest needs "),
        ({}, demand_of(gpu__lnk="none"), "by GpuPassthroughFilter (flavor)", "invalid request: "),
        # The filter never sees a host that Placement does not return.
        (
            {},
            demand_of(9, 200, gpu__lnk="none"),
            "by Placement (gpus, vcpus)",
            "CUSTOM_GPU_H100_SXM: 9 requested, 8 free; PCPU: 200 requested, ",
        ),
    ],
)
def test_the_first_component_that_refuses(changes, flavor_demand, label, words):
    host = dataclasses.replace(builders.host(FLEET, "hgx1"), **changes)
    found = explain(host, flavor_demand)
    assert (found.answer, found.refusal.label) == (HostAnswer.REFUSED, label)
    assert found.constraints == found.refusal.constraints
    assert found.detail.startswith(words)


def test_a_refusal_by_the_filter_has_its_reason():
    found = explain(builders.host(FLEET, "hgx1"), demand_of(3, gpu__switch="required"))
    assert found.refusal.reason is FitReason.SWITCH


def test_the_own_host_shows_what_the_server_has():
    server = builders.server("train", 0, range(2, 6))
    other = builders.server("other", 1, range(10, 12))
    device_owners = {GPUS[0]: server.id, GPUS[2]: server.id, GPUS[7]: other.id}
    host = builders.host(FLEET, "hgx1", servers=[server, other], device_owners=device_owners)
    flavor_demand = demand_of(2, 4)
    without = free_capacity.without_server(
        free_capacity.of_host(host), host, server.id, flavor_demand.server_demand.query.resources
    )
    found = host_explanation.explain_own_host(host, without, flavor_demand, server.id, Pack())
    assert found.answer is HostAnswer.HERE
    assert found.detail.startswith(
        f"has {GPUS[0]} {GPUS[2]} on NUMA node 0, in link group nvs0/q0, behind 2 switches, "
        "CPUs and memory of NUMA node 0; weight 0.94 (quality 0.95, policy "
    )
    # It could get better GPUs now.
    judge = HostJudge(FLEET, {}, flavor_demand, FilteredServer("f"))
    better = host_explanation.explain_host(host, without, flavor_demand, judge, Pack())
    assert better.weight > found.weight


def test_a_server_with_fewer_gpus_than_its_flavor_has_no_weight():
    server = builders.server("train", 0, range(2, 6))
    host = builders.host(FLEET, "hgx1", servers=[server], device_owners={GPUS[0]: server.id})
    found = host_explanation.explain_own_host(
        host, free_capacity.of_host(host), demand_of(2), server.id, Pack()
    )
    assert (found.weight, found.refusal) == (None, None)


def test_a_server_without_devices():
    server = builders.server("cpu", 0, range(2, 6))
    host = builders.host(FLEET, "hgx1", servers=[server])
    found = host_explanation.explain_own_host(
        host, free_capacity.of_host(host), demand_of(0), server.id, Pack()
    )
    assert found.detail == "has no devices, CPUs and memory of NUMA node 0"
