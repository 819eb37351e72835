# SPDX-License-Identifier: Apache-2.0
"""The filter as the scheduler calls it."""

import copy
import json
import multiprocessing

import pytest
from nova.scheduler.filters.numa_topology_filter import NUMATopologyFilter
from nova.scheduler.filters.pci_passthrough_filter import PciPassthroughFilter

from nova_gpu_passthrough.scheduler.filters import GpuPassthroughFilter
from nova_gpu_passthrough.scheduler.weights import GpuPassthroughWeigher
from tests.unit import builders
from tests.unit.builders import (
    H100,
    NIC,
    T4,
    hgx_pools,
    host_state,
    pci_request,
    pool,
    request_spec,
)


def passing(gpu_filter, hosts, spec):
    return [host.host for host in gpu_filter.filter_all(hosts, spec)]


def with_candidates(name, free, spec, cells=()):
    """A host with Placement's candidates for the request."""
    state = host_state(name, free, cells)
    state.allocation_candidates = builders.candidates(state, spec)
    return state


def gpus_of(candidate, state):
    pools = [p for p in state.pci_stats.pools if "rp_uuid" in p]
    numbers = {p["rp_uuid"]: int(p["address"][5:7], 16) for p in pools}
    return sorted(numbers[p] for p in candidate["allocations"] if p in numbers)


def test_hosts_that_fit_pass_in_their_order():
    hosts = [
        host_state("full", []),
        host_state("eight", hgx_pools()),
        host_state("t4", [pool(1, T4)]),
        host_state("one", [pool(1)]),
    ]
    assert passing(GpuPassthroughFilter(), hosts, request_spec(pci_request())) == ["eight", "one"]


def test_one_host_is_judged_as_several_are():
    spec = request_spec(pci_request())
    gpu_filter = GpuPassthroughFilter()
    assert gpu_filter.host_passes(host_state("a", [pool(1)]), spec)
    assert not gpu_filter.host_passes(host_state("b", []), spec)
    assert gpu_filter.host_passes(host_state("b", []), request_spec())


def test_the_candidate_of_the_best_devices_is_left():
    spec = request_spec(pci_request(2), in_placement=True)
    state = with_candidates("host", hgx_pools("host", [1, 2, 4, 5, 7]), spec)
    assert len(state.allocation_candidates) == 20
    assert passing(GpuPassthroughFilter(), [state], spec) == ["host"]
    (left,) = state.allocation_candidates
    assert gpus_of(left, state) == [4, 5]
    assert json.loads(json.dumps(left)) == left


def test_the_candidate_left_is_one_of_placements():
    spec = request_spec(pci_request(2), in_placement=True)
    state = with_candidates("host", hgx_pools("host"), spec)
    sent = copy.deepcopy(state.allocation_candidates)
    passing(GpuPassthroughFilter(), [state], spec)
    assert state.allocation_candidates[0] in sent


def test_novas_own_filters_accept_the_choice():
    numa = builders.guest_numa_topology((0, 4, 1024))
    spec = request_spec(pci_request(2, numa_policy="required"), in_placement=True, numa=numa)
    cells = [builders.cell(0, pcpus=8, pinned=8), builders.cell(1, pcpus=8)]
    state = with_candidates("host", hgx_pools("host"), spec, cells)
    assert passing(GpuPassthroughFilter(), [state], spec) == ["host"]
    assert PciPassthroughFilter().host_passes(state, spec)
    assert NUMATopologyFilter().host_passes(state, spec)
    assert gpus_of(state.allocation_candidates[0], state)[0] >= 4


def guest_with_cells():
    """A guest with a cell, and a host whose node 0 seems to have room for it but has not."""
    numa = builders.guest_numa_topology((4, 0, 1024))
    spec = request_spec(pci_request(2, numa_policy="required"), in_placement=True, numa=numa)
    cells = [builders.cell(0, cpus_used=16), builders.cell(1)]
    return spec, with_candidates("host", hgx_pools("host"), spec, cells)


def test_a_guest_with_cells_gets_a_choice_for_every_set_of_nodes():
    spec, state = guest_with_cells()
    passing(GpuPassthroughFilter(), [state], spec)
    left = [gpus_of(candidate, state)[0] // 4 for candidate in state.allocation_candidates]
    assert left == [0, 1]
    assert NUMATopologyFilter().host_passes(state, spec)
    left = [gpus_of(candidate, state)[0] // 4 for candidate in state.allocation_candidates]
    assert left == [1]


def test_one_choice_is_left_if_the_guest_certainly_fits_on_its_nodes():
    spec, state = guest_with_cells()
    state.numa_topology.cells[0].cpu_usage = 0
    passing(GpuPassthroughFilter(), [state], spec)
    assert len(state.allocation_candidates) == 1
    assert NUMATopologyFilter().host_passes(state, spec)


def test_without_guest_cells_only_the_best_choice_is_left():
    free = [pool(1, node=0, host="host"), pool(2, node=1, host="host")]
    free += [pool(0x40 + n, NIC, node=n, host="host") for n in range(2)]
    spec = request_spec(pci_request(), pci_request(1, NIC, "nic"), in_placement=True)
    state = with_candidates("host", free, spec)
    passing(GpuPassthroughFilter(), [state], spec)
    assert gpus_of(state.allocation_candidates[0], state) in ([1, 0x40], [2, 0x41])
    assert len(state.allocation_candidates) == 1


def test_max_candidates_limits_the_choices(options):
    options(max_candidates=1)
    spec, state = guest_with_cells()
    passing(GpuPassthroughFilter(), [state], spec)
    assert len(state.allocation_candidates) == 1


def test_equal_choices_are_random_unless_the_option_is_false(options):
    spec = request_spec(pci_request(), in_placement=True)

    def picks():
        gpu_filter = GpuPassthroughFilter()
        chosen = set()
        for _ in range(40):
            state = with_candidates("host", [pool(n, host="host") for n in range(8)], spec)
            passing(gpu_filter, [state], spec)
            chosen.update(gpus_of(state.allocation_candidates[0], state))
        return chosen

    assert len(picks()) > 3
    options(randomize_equal_choices=False)
    assert picks() == {0}


def test_a_multi_create_chooses_from_all_remaining_devices():
    spec = request_spec(pci_request(2), in_placement=True)
    state = with_candidates("host", hgx_pools("host"), spec)
    gpu_filter = GpuPassthroughFilter()
    chosen = []
    for _ in range(4):
        assert passing(gpu_filter, [state], spec) == ["host"]
        claimed = state.allocation_candidates[0]
        chosen.append(gpus_of(claimed, state))
        for group in spec.requested_resources:
            group.provider_uuids = claimed["mappings"][group.requester_id]
        state.consume_from_request(spec)
    assert sorted(chosen) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert passing(gpu_filter, [state], spec) == []


def test_candidates_dropped_by_a_later_filter_are_available_again():
    spec, state = guest_with_cells()
    gpu_filter = GpuPassthroughFilter()
    for _ in range(2):
        passing(gpu_filter, [state], spec)
        assert len(state.allocation_candidates) == 2
        assert NUMATopologyFilter().host_passes(state, spec)
        assert len(state.allocation_candidates) == 1


def test_without_pci_in_placement_the_candidates_are_not_replaced():
    spec = request_spec(pci_request())
    state = host_state("host", [pool(1)])
    sent = [builders.candidate({}, {state.uuid: {"VCPU": 4}})]
    state.allocation_candidates = copy.deepcopy(sent)
    assert passing(GpuPassthroughFilter(), [state], spec) == ["host"]
    assert state.allocation_candidates == sent


def test_candidates_that_cannot_be_rewritten_are_not_replaced():
    spec = request_spec(pci_request(), in_placement=True)
    state = with_candidates("host", [pool(1, host="host"), pool(2, host="host")], spec)
    for one in state.allocation_candidates:
        one["mappings"]["port"] = list(one["mappings"].values())[-1]
    sent = copy.deepcopy(state.allocation_candidates)
    assert passing(GpuPassthroughFilter(), [state], spec) == ["host"]
    assert state.allocation_candidates == sent


def test_a_rebuild_passes():
    spec = request_spec(pci_request())
    spec.scheduler_hints = {"_nova_check_type": ["rebuild"]}
    assert passing(GpuPassthroughFilter(), [host_state("full", [])], spec) == ["full"]


@pytest.mark.parametrize("pci_requests", [[], [pci_request(spec=NIC)]])
def test_servers_without_gpus_pass(pci_requests, logged):
    hosts = [host_state("gpus", hgx_pools()), host_state("nic", [pool(1, NIC)]), host_state("none")]
    names = passing(GpuPassthroughFilter(), hosts, request_spec(*pci_requests))
    assert names == ["gpus", "nic", "none"]
    assert logged("INFO") == []
    assert logged("WARNING") == []


def test_the_protection_refuses_servers_without_gpus(options, logged):
    options(only_gpu_servers=True)
    hosts = [host_state("gpus", hgx_pools()), host_state("none")]
    for spec in (request_spec(), request_spec(pci_request(spec=NIC))):
        assert passing(GpuPassthroughFilter(), hosts, spec) == ["none"]
    assert "reserved for servers with GPUs" in logged("DEBUG")[-1]


# -- what is logged ------------------------------------------------------------------------------


def test_one_line_counts_the_refused_hosts_by_reason(logged):
    hosts = [host_state("a", hgx_pools()), host_state("b", []), host_state("c", [pool(1)])]
    spec = request_spec(pci_request(2))
    passing(GpuPassthroughFilter(), hosts, spec)
    (line,) = logged("INFO")
    assert line == (
        f"GPU request a-gpu:2 of server {spec.instance_uuid}: 1 of 3 hosts fit; refused: "
        "1 no free GPU of that kind, 1 too few free GPUs"
    )


def test_a_multi_create_logs_one_line(logged):
    gpu_filter, spec = GpuPassthroughFilter(), request_spec(pci_request())
    for _ in range(3):
        passing(gpu_filter, [host_state("a", hgx_pools())], spec)
    assert len(logged("INFO")) == 1
    passing(gpu_filter, [host_state("a", hgx_pools())], request_spec(pci_request()))
    assert len(logged("INFO")) == 2


def test_a_multi_create_whose_last_server_does_not_fit_logs_a_second_line(logged):
    gpu_filter, spec = GpuPassthroughFilter(), request_spec(pci_request())
    passing(gpu_filter, [host_state("a", [pool(1)])], spec)
    passing(gpu_filter, [host_state("a", [])], spec)
    assert [": 1 of 1" in line for line in logged("INFO")] == [True, False]


def test_an_alias_that_no_host_offers_is_logged(logged):
    hosts = [host_state(name, [pool(1, T4)]) for name in "abc"]
    assert passing(GpuPassthroughFilter(), hosts, request_spec(pci_request())) == []
    assert "0 of 3 hosts fit; refused: 3 no free GPU of that kind" in logged("INFO")[0]


@pytest.mark.parametrize("count", [0, 65])
def test_an_invalid_count_is_logged(count, logged):
    hosts = [host_state("a", hgx_pools())]
    assert passing(GpuPassthroughFilter(), hosts, request_spec(pci_request(count))) == []
    assert "1 invalid request" in logged("INFO")[0]
    assert f"{count} devices requested, expected 1 to 64" in logged("DEBUG")[-1]


@pytest.mark.parametrize("ids, tags", [(H100, {}), (NIC, {"gpu_model": "research"})])
def test_an_invalid_extra_spec_is_logged_and_all_hosts_are_refused(ids, tags, logged):
    spec = request_spec(pci_request(spec=ids), extra_specs={"gpu:link": "allways"})
    hosts = [host_state("a", [pool(1, ids, **tags)])]
    assert passing(GpuPassthroughFilter(), hosts, spec) == []
    assert "1 invalid request" in logged("INFO")[0]
    assert "gpu:link is 'allways', expected one of: required" in logged("DEBUG")[-1]


def test_an_invalid_extra_spec_is_ignored_for_servers_without_gpus():
    spec = request_spec(pci_request(spec=NIC), extra_specs={"gpu:link": "allways"})
    assert passing(GpuPassthroughFilter(), [host_state("a", [pool(1, NIC)])], spec) == ["a"]


def test_the_option_aliases_names_gpu_aliases(options):
    options(aliases=["a-gpu"])
    hosts = [host_state("a", [pool(1, NIC)]), host_state("b", [])]
    assert passing(GpuPassthroughFilter(), hosts, request_spec(pci_request(spec=NIC))) == ["a"]


def test_a_request_that_cannot_be_read_passes(logged):
    spec = request_spec(pci_request())
    del spec._obj_instance_uuid  # as if Nova had not set it
    states = [host_state("a", [pool(1)]), host_state("b", [])]
    assert list(GpuPassthroughFilter().filter_all(states, spec)) == states
    (line,) = logged("WARNING")
    assert line.startswith("Cannot read a request (")
    assert 0.0 <= GpuPassthroughWeigher()._weigh_object(states[0], spec) <= 1.0


# -- what Nova alone serves ------------------------------------------------------------------------


def in_tree_filters_pass(state, spec):
    return all(
        list(one().filter_all([state], spec)) for one in (PciPassthroughFilter, NUMATopologyFilter)
    )


@pytest.mark.parametrize("policy", [None, "required"])
def test_a_host_is_left_with_the_nodes_that_have_the_vfs_of_the_ports(policy):
    vf = {"vendor_id": "15b3", "product_id": "101e", "physical_network": "physnet0"}
    port = pci_request(1, vf, alias="port", requester_id="port", numa_policy=policy)
    gpu = pci_request(1, numa_policy="required")
    numa = builders.guest_numa_topology((4, 0, 4096))
    spec = request_spec(gpu, port, in_placement=True, numa=numa)
    free = [pool(n, node=n, host="host") for n in range(2)]
    vfs = pool(9, vf, node=1, count=4, dev_type="type-VF", remote_managed="false")
    state = host_state("host", [*free, vfs], [builders.cell(0), builders.cell(1)])
    state.allocation_candidates = builders.candidates(state, spec, serving={"a-gpu": free})
    assert passing(GpuPassthroughFilter(), [state], spec) == ["host"]
    assert in_tree_filters_pass(state, spec)
    assert gpus_of(state.allocation_candidates[0], state) == [1]


def test_a_port_without_free_vfs_is_left_to_nova():
    port = pci_request(1, NIC, alias="port", requester_id="port")
    spec = request_spec(pci_request(), port, in_placement=True)
    free = [pool(0, host="host")]
    state = host_state("host", free)
    state.allocation_candidates = builders.candidates(state, spec, serving={"a-gpu": free})
    assert passing(GpuPassthroughFilter(), [state], spec) == ["host"]


def test_nodes_that_only_nova_can_judge_do_not_use_up_the_choices(options):
    # 28 pairs of nodes have the CPUs and the memory, two nodes alone have free pages of 1 GiB.
    options(max_candidates=8)
    gib = 1048576
    cells = [
        builders.cell(
            n,
            pcpus=4,
            mempages=[
                builders.pages(4, 4 * gib // 4, 0),
                builders.pages(gib, 8, 0 if n in (6, 7) else 8),
            ],
        )
        for n in range(8)
    ]
    numa = builders.guest_numa_topology((0, 2, 4096), (0, 2, 4096))
    for one in numa.cells:
        one.pagesize = gib
    spec = request_spec(pci_request(2, numa_policy="preferred"), in_placement=True, numa=numa)
    state = with_candidates("host", [pool(n, node=n, host="host") for n in range(8)], spec, cells)
    assert passing(GpuPassthroughFilter(), [state], spec) == ["host"]
    assert in_tree_filters_pass(state, spec)


@pytest.mark.parametrize(
    "network", [{"physnets": {"fast"}, "tunneled": False}, {"physnets": set(), "tunneled": True}]
)
@pytest.mark.parametrize("most", [1, 8])
def test_nodes_without_the_networks_of_the_server_are_left_out(network, most, options):
    options(max_candidates=most)
    cells = [builders.cell(n) for n in range(4)]
    cells[3].network_metadata = builders.objects.NetworkMetadata(**network)
    numa = builders.guest_numa_topology((2, 0, 4096))
    spec = request_spec(pci_request(1, numa_policy="required"), in_placement=True, numa=numa)
    spec.network_metadata = builders.objects.NetworkMetadata(
        physnets={"fast", "without nodes"}, tunneled=True
    )
    state = with_candidates("host", [pool(n, node=n, host="host") for n in range(4)], spec, cells)
    assert passing(GpuPassthroughFilter(), [state], spec) == ["host"]
    assert len(state.allocation_candidates) <= most
    assert in_tree_filters_pass(state, spec)
    assert gpus_of(state.allocation_candidates[0], state) == [3]


def test_networks_without_numa_nodes_do_not_exceed_the_choices(options):
    options(max_candidates=2)
    cells = [builders.cell(n, cpus_used=15) for n in range(4)]
    numa = builders.guest_numa_topology((1, 0, 512), (2, 0, 512))
    spec = request_spec(pci_request(2, numa_policy="required"), in_placement=True, numa=numa)
    spec.network_metadata = builders.objects.NetworkMetadata(physnets={"any"}, tunneled=True)
    for cell in cells[1:]:
        cell.cpu_usage = 0
    state = with_candidates("host", [pool(n, node=n, host="host") for n in range(4)], spec, cells)
    assert passing(GpuPassthroughFilter(), [state], spec) == ["host"]
    assert len(state.allocation_candidates) == 2


def test_an_alias_by_resource_class_requests_gpus_where_tags_are_unknown(logged):
    spec = request_spec(
        pci_request(1, {"resource_class": "CUSTOM_H100"}),
        in_placement=True,
        extra_specs={"gpu:link": "required"},
    )
    malformed = pool(0, {"vendor_id": "1eed", "product_id": "1"}, host="host", gpu_modl="H100")
    nic = pool(1, NIC, host="nics")
    states = [host_state("host", [malformed]), host_state("nics", [nic, {"gpu_modl": 1}])]
    for state, one in zip(states, (malformed, nic), strict=True):
        state.allocation_candidates = builders.candidates(state, spec, serving={"a-gpu": [one]})
    # On the second host, Placement offers a NIC: the request is not one for GPUs there.
    assert passing(GpuPassthroughFilter(), states, spec) == ["nics"]
    assert logged("WARNING", "tag gpu_modl is unknown")


def test_workers_that_are_forked_do_not_choose_alike(options):
    gpu_filter = GpuPassthroughFilter()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()

    def choose():
        queue.put([gpu_filter._rng.randrange(1 << 30) for _ in range(4)])

    workers = [context.Process(target=choose) for _ in range(2)]
    for worker in workers:
        worker.start()
    first, second = queue.get(), queue.get()
    for worker in workers:
        worker.join()
    assert first != second
