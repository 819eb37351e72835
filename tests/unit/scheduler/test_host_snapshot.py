# SPDX-License-Identifier: Apache-2.0
"""Snapshots of Nova's host states, and the classes of requested servers."""

import pytest

from nova_gpu_passthrough.packing.host_state import CellState, GpuGroup, HostState, canonical
from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass
from nova_gpu_passthrough.policies.fragmentation import Fragmentation
from nova_gpu_passthrough.scheduler import host_snapshot, requests
from nova_gpu_passthrough.scheduler.assessment import assess
from nova_gpu_passthrough.scheduler.candidates import HostChoice
from nova_gpu_passthrough.scheduler.filters import GpuPassthroughFilter
from tests.unit import builders
from tests.unit.builders import (
    AUDIO,
    H100,
    NIC,
    T4,
    cell,
    guest_numa_topology,
    hgx_pools,
    host_state,
    pages,
    pci_request,
    pool,
    request_spec,
)


def hgx(name="host", numbers=range(8), **resources):
    """An HGX host with two NUMA cells, its devices in Placement."""
    small = 65536 * 256
    cells = [cell(n, pcpus=24, mempages=[pages(4, small)]) for n in (0, 1)]
    return host_state(name, hgx_pools(name, numbers), cells, **resources)


def host_choice(state, spec):
    """Return the first choice for a request."""
    request = requests.read(spec, (), ())
    assessment = assess(state, request)
    return HostChoice(assessment.host, assessment.request, assessment.choices[0])


def before(state):
    return host_snapshot.read(state).before()


# -- reading hosts -----------------------------------------------------------------------------


def test_all_free_resources_are_read():
    state = hgx(vcpus=64, vcpus_used=4, ram=262144, free_ram=200000)
    state.cpu_allocation_ratio = 2.0
    state.numa_topology.cells[1].cpu_usage = 5
    state.numa_topology.cells[1].mempages[0].used = 536 * 256
    gpus = (GpuGroup("H100-SXM", 1, 4),)
    assert before(state) == HostState(
        (CellState(27, 24, 65000, gpus), CellState(32, 24, 65536, gpus)), 124, 200000, 100
    )


def test_without_numa_topology_gpus_are_on_no_cell():
    state = host_state("host", [pool(1), pool(2, node=1), pool(3, T4, node=None, count=2)])
    assert before(state).cells == ()
    assert before(state).gpus == (GpuGroup("H100-SXM", 0, 2), GpuGroup("T4", 0, 2))


def test_gpus_of_unknown_nodes_are_on_no_cell():
    for node in (None, -1, 7):
        state = host_state("host", [pool(1, node=node)], [cell(0)])
        assert before(state).cells[0].gpus == ()
        assert before(state).gpus == (GpuGroup("H100-SXM", 0, 1),)


def test_partitions_of_a_link_group_are_one_group():
    links = ["x/a", "x/b", "y/a", None]
    state = host_state(
        "host",
        [pool(n, **({"gpu_link_group": link} if link else {})) for n, link in enumerate(links)],
    )
    # The only GPU of y is not linked.
    assert before(state).gpus == (GpuGroup("H100-SXM", 0, 2), GpuGroup("H100-SXM", 1, 2))


def test_other_devices_are_ignored():
    assert host_snapshot.read(host_state("host", [pool(1, NIC), pool(2, AUDIO)])) is None
    assert host_snapshot.read(host_state("host", [pool(1, count=0)])) is None
    state = host_state("none")
    state.pci_stats = None
    assert host_snapshot.read(state) is None


def test_free_memory_pages_of_a_cell_count():
    state = host_state("host", [pool(1)], [cell(0, mempages=[pages(4, 1024), pages(1048576, 4)])])
    assert before(state).cells[0].ram_mib == 4096


def test_overused_resources_are_zero():
    state = host_state("host", [pool(1)], vcpus=4, vcpus_used=9, free_ram=-5)
    assert before(state)[:3] == ((), 0, 0)


# -- classes of requests ----------------------------------------------------------------------


def test_a_server_without_numa_topology():
    spec = request_spec(pci_request(2), vcpus=4, ram=4096)
    request_class = host_snapshot.request_class(
        spec, host_choice(hgx(), spec).request, ["H100-SXM"]
    )
    assert request_class == RequestClass("", 2, "H100-SXM", 4, 0, 4096, 1)


@pytest.mark.parametrize(
    "policy, gpu_numa, expected",
    [
        (None, None, GpuLocality.LOCAL_OR_UNKNOWN),
        ("legacy", None, GpuLocality.LOCAL_OR_UNKNOWN),
        ("preferred", None, GpuLocality.ANY_NODE),
        ("required", None, GpuLocality.LOCAL),
        ("preferred", "required", GpuLocality.LOCAL),
    ],
)
def test_numa_cells_and_policies(policy, gpu_numa, expected):
    spec = request_spec(
        pci_request(2, numa_policy=policy),
        extra_specs={"gpu:numa": gpu_numa} if gpu_numa else {},
        numa=guest_numa_topology((2, 6, 1000), (2, 6, 1001)),
    )
    request_class = host_snapshot.request_class(
        spec, host_choice(hgx(), spec).request, ["H100-SXM"]
    )
    assert request_class == RequestClass("", 2, "H100-SXM", 4, 12, 4096, 1, 2, expected)


def test_a_class_is_linked_if_links_are_required():
    spec = request_spec(pci_request(2), extra_specs={"gpu:link": "required"})
    assert host_snapshot.request_class(spec, host_choice(hgx(), spec).request).linked
    one = request_spec(pci_request(1), extra_specs={"gpu:link": "required"})
    assert not host_snapshot.request_class(one, host_choice(hgx(), one).request).linked


def test_several_models_are_any_model():
    spec = request_spec(pci_request(1))
    assert (
        host_snapshot.request_class(spec, host_choice(hgx(), spec).request, ["A", "B"]).model
        is None
    )


def test_a_server_booted_from_a_volume_needs_no_root_disk():
    spec = request_spec()
    spec.flavor.root_gb, spec.flavor.ephemeral_gb, spec.flavor.swap = 20, 5, 100
    assert host_snapshot.request_class(spec, None).disk_gib == 26
    spec.is_bfv = True
    assert host_snapshot.request_class(spec, None).disk_gib == 6


# -- placements as Nova's own scheduler accounts them -------------------------------------------

SERVERS = {
    "without GPUs": request_spec(vcpus=4),
    "without GPUs, with a NUMA cell": request_spec(vcpus=4, numa=guest_numa_topology((4, 0, 4096))),
    "without GPUs, pinned": request_spec(vcpus=4, numa=guest_numa_topology((0, 4, 4096))),
    "a GPU": request_spec(pci_request(), in_placement=True),
    "3 GPUs": request_spec(pci_request(3), in_placement=True),
    "6 GPUs": request_spec(pci_request(6), in_placement=True),
    "a GPU and a NUMA cell": request_spec(
        pci_request(), in_placement=True, numa=guest_numa_topology((4, 0, 4096))
    ),
    "3 GPUs, pinned": request_spec(
        pci_request(3), in_placement=True, vcpus=12, numa=guest_numa_topology((0, 12, 4096))
    ),
    "5 GPUs on two cells": request_spec(
        pci_request(5),
        in_placement=True,
        vcpus=24,
        ram=8192,
        numa=guest_numa_topology((0, 12, 4096), (0, 12, 4096)),
    ),
    "8 GPUs on two cells": request_spec(
        pci_request(8),
        in_placement=True,
        vcpus=24,
        ram=8192,
        numa=guest_numa_topology((12, 0, 4096), (12, 0, 4096)),
    ),
}


def gpus_of(spec):
    return sum(request.count for request in spec.pci_requests.requests)


@pytest.mark.parametrize(
    "name, free",
    [
        (name, free)
        for name, spec in SERVERS.items()
        for free in (range(8), (0, 1, 2, 4, 5, 6), (1, 4, 5, 6))
        if gpus_of(spec) <= len(free)
    ],
)
def test_a_placement_leaves_what_nova_leaves(name, free, options):
    options(randomize_equal_choices=False)
    spec = SERVERS[name].obj_clone()
    state = hgx(numbers=free)
    state.limits = {}
    choice = None
    if spec.requested_resources:
        state.allocation_candidates = builders.candidates(state, spec)
        assert list(GpuPassthroughFilter().filter_all([state], spec)) == [state]
        choice = state.allocation_candidates[0].host_choice
        mappings = state.allocation_candidates[0]["mappings"]
        for group in spec.requested_resources:
            group.provider_uuids = mappings[group.requester_id]
    snapshot = host_snapshot.read(state)
    request_class = host_snapshot.request_class(spec, choice.request if choice else None)
    expected = snapshot.after(
        request_class, snapshot.locations(choice.choice.gpus if choice else ())
    )
    state.consume_from_request(spec)
    left = host_snapshot.read(state)
    if left is None:
        assert not expected.free_gpus
    else:
        assert left.before() == expected


def test_gpus_known_by_an_option_only_are_not_in_the_snapshot():
    ids = {"vendor_id": "1234", "product_id": "5678"}
    state = host_state("host", [pool(1), pool(2, ids)])
    spec = request_spec(pci_request(spec=ids, alias="own"))
    assessment = assess(state, requests.read(spec, ("own",), ()))
    choice = HostChoice(assessment.host, assessment.request, assessment.choices[0])
    request_class = host_snapshot.request_class(spec, choice.request)
    snapshot = host_snapshot.read(state)
    assert snapshot.after(request_class, snapshot.locations(choice.choice.gpus)) is None


def test_states_are_canonical():
    policy = Fragmentation()
    one, other = hgx("one", (0, 1, 5)), hgx("other", (4, 6, 2))
    policy.observe("one", before(one))
    assert before(one) == before(other) == canonical(before(other))


def test_malformed_pools_are_ignored():
    good = pool(1)
    malformed = [{}, {"count": 1}, {**H100, "count": "many"}, {**good, "gpu_link_group": 7}]
    state = host_state("host", [good, *malformed])
    assert before(state).gpus == (GpuGroup("H100-SXM", 0, 2),)
