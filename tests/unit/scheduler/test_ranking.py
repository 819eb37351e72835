# SPDX-License-Identifier: Apache-2.0
"""The policy fragmentation in the weigher, from request to request."""

import threading

import pytest
from nova.scheduler import weights
from nova.weights import WeighedObject

from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass
from nova_gpu_passthrough.policies import mix
from nova_gpu_passthrough.policies.fragmentation import Fragmentation
from nova_gpu_passthrough.scheduler import ranking
from nova_gpu_passthrough.scheduler.filters import GpuPassthroughFilter
from nova_gpu_passthrough.scheduler.weights import GpuPassthroughWeigher
from tests.unit import builders
from tests.unit.builders import (
    NIC,
    T4,
    cell,
    guest_numa_topology,
    host_state,
    pages,
    pci_request,
    pool,
    request_spec,
)

#: A GPU with 4 vCPUs and 4 GiB, and eight with 32 vCPUs and 32 GiB.
ONE = RequestClass("one", 1, "H100-SXM", vcpus=4, ram_mib=4096)
EIGHT = RequestClass("eight", 8, "H100-SXM", vcpus=32, ram_mib=32768)


def gpus(name, count, vcpus=32, ram=32768, **resources):
    state = host_state(
        name, [pool(n, host=name) for n in range(count)], vcpus=vcpus, ram=ram, **resources
    )
    state.limits = {}
    state.free_disk_mb = 10**9
    return state


def one_gpu(**needs):
    return request_spec(pci_request(), in_placement=True, **{"vcpus": 4, "ram": 4096, **needs})


@pytest.fixture
def weigher(options, tmp_path):
    """Make the weigher with a mix and other options."""

    def make(counts=None, **others):
        path = tmp_path / "mix.yaml"
        path.write_text(mix.dump(counts or {}))
        options(policy="fragmentation", mix_file=str(path), **{"mix_half_life": 0, **others})
        return GpuPassthroughWeigher()

    return make


def offered(hosts, spec, gpu_filter=None):
    """Give hosts Placement's candidates and return those that pass the filter."""
    if spec.requested_resources:
        for state in hosts:
            state.allocation_candidates = builders.candidates(state, spec)
    return list((gpu_filter or GpuPassthroughFilter()).filter_all(hosts, spec))


def ranked(weigher, hosts, spec):
    """Return host names in the order of Nova's handler, by Nova's weighers and this one."""
    handler = weights.HostWeightHandler()
    weighers = [*(cls() for cls in weights.all_weighers()), weigher]
    passed = offered(hosts, spec)
    return [item.obj.host for item in handler.get_weighed_objects(weighers, passed, spec)]


def weighed(weigher, hosts, spec, gpu_filter=None):
    items = [WeighedObject(host, 0.0) for host in offered(hosts, spec, gpu_filter)]
    return dict(zip((i.obj.host for i in items), weigher.weigh_objects(items, spec), strict=True))


def policy_of(weigher):
    return weigher._policy


# -- decisions ---------------------------------------------------------------------------------


def test_whole_hosts_stay_free_against_novas_weighers(weigher):
    hosts = [gpus("whole", 8, vcpus=512, ram=999999), gpus("five", 5, vcpus=20, ram=20480)]
    gpu_weigher = weigher({ONE: 5, EIGHT: 1})
    assert ranked(gpu_weigher, hosts, one_gpu()) == ["five", "whole"]
    small = [gpus("whole", 8), gpus("five", 5, vcpus=512, ram=999999)]
    assert ranked(gpu_weigher, small, one_gpu()) == ["five", "whole"]


def test_small_differences_in_price_outweigh_novas_weighers(weigher):
    # The class of four is so rare in this mix that its loss counts very little.
    hosts = [gpus("large", 4, vcpus=400, ram=400000), gpus("small", 4, vcpus=15)]
    gpu_weigher = weigher({ONE: 1, RequestClass("four", 4, "H100-SXM", vcpus=16): 0.0001})
    assert ranked(gpu_weigher, hosts, one_gpu()) == ["small", "large"]
    assert ranked(weigher(weight_multiplier=0.0), hosts, one_gpu()) == ["large", "small"]


def test_servers_without_gpus_are_placed_where_they_make_no_gpu_unusable(weigher):
    hosts = [gpus("tight", 8), gpus("roomy", 4, vcpus=32), gpus("none", 0, vcpus=8)]
    gpu_weigher = weigher({ONE: 1, EIGHT: 1})
    assert ranked(gpu_weigher, hosts, request_spec(vcpus=8, ram=4096)) == ["none", "roomy", "tight"]
    assert weighed(gpu_weigher, hosts, request_spec(vcpus=8, ram=4096))["none"] == 1.0


def test_hosts_without_gpus_keep_novas_order(weigher):
    hosts = [gpus("a", 0, vcpus=8), gpus("b", 0, vcpus=64), gpus("c", 0, vcpus=16)]
    assert ranked(weigher({ONE: 1}), hosts, request_spec()) == ["b", "c", "a"]


def test_hosts_without_free_gpus_are_filled_after_those_without_gpus(weigher):
    gpu_weigher = weigher({ONE: 1})
    cpus = {"none": 16, "a": 20, "b": 64, "c": 12}
    before = [gpus(name, int(name != "none"), count) for name, count in cpus.items()]
    weighed(gpu_weigher, before, request_spec())
    full = [gpus(name, 0, count) for name, count in cpus.items()]
    assert ranked(gpu_weigher, full, request_spec()) == ["none", "c", "a", "b"]


@pytest.mark.parametrize("strength, worst", [(0.0, 1.0), (0.5, 0.75), (1.0, 0.5)])
def test_avoid_gpu_hosts_scales_the_weight_of_servers_without_gpus(weigher, strength, worst):
    gpu_weigher = weigher({ONE: 1}, avoid_gpu_hosts=strength)
    hosts = [gpus("tight", 8), gpus("none", 0)]
    assert weighed(gpu_weigher, hosts, request_spec(vcpus=8)) == {"none": 1.0, "tight": worst}


@pytest.mark.parametrize("other_node, best", [(0, "unlinked"), (1, "whole")])
def test_numa_nodes_outweigh_the_price_and_links_do_not(weigher, other_node, best):
    # Two linked GPUs are part of a whole host; two others are not linked, and on two nodes in one
    # case.
    whole = host_state("whole", [pool(n, host="whole", gpu_link_group="x") for n in range(8)])
    unlinked = host_state(
        "unlinked", [pool(n, node=n * other_node, host="unlinked") for n in range(2)]
    )
    for state in (whole, unlinked):
        state.free_disk_mb = 10**9
    spec = request_spec(pci_request(2), in_placement=True)
    assert ranked(weigher({ONE: 5, EIGHT: 1}), [unlinked, whole], spec)[0] == best


def on_two_cells(name, cpus):
    """A host with two NUMA cells of 4 GPUs and these numbers of CPUs."""
    state = host_state(
        name,
        [pool(n, node=n // 4, host=name) for n in range(8)],
        [cell(n, cpus=count, mempages=[pages(4, 65536 * 256)]) for n, count in enumerate(cpus)],
    )
    state.limits = {}
    state.free_disk_mb = 10**9
    return state


@pytest.mark.parametrize("cpus", [(6, 32), (32, 6)])
def test_the_numa_node_with_the_smallest_loss_is_chosen(weigher, cpus):
    request_class = RequestClass(
        "gpu_weigher",
        1,
        "H100-SXM",
        vcpus=4,
        numa_cells=1,
        gpu_locality=GpuLocality.LOCAL_OR_UNKNOWN,
    )
    weigher({request_class: 1})
    state = on_two_cells("host", cpus)
    spec = request_spec(
        pci_request(), in_placement=True, vcpus=2, ram=64, numa=guest_numa_topology((2, 0, 64))
    )
    # On the node with few CPUs, one GPU is usable before and after.
    offered([state], spec)
    (gpu,) = state.allocation_candidates[0].host_choice.choice.gpus
    assert gpu.numa_node == cpus.index(6)


def test_gpu_values_change_the_order(weigher):
    # Both models match the request.
    spec = {"vendor_id": "10de"}
    valuable, cheap = gpus("valuable", 2), host_state("cheap", [pool(1, T4, host="cheap", count=2)])
    cheap.free_disk_mb = 10**9
    classes = {RequestClass("any", 1, vcpus=4): 1}
    request = request_spec(pci_request(spec=spec, alias="any"), in_placement=True)
    for values, first in (({}, "cheap"), ({"T4": 99.0}, "valuable")):
        gpu_weigher = weigher(classes, aliases=["any"], gpu_values=values)
        for state in (valuable, cheap):
            state.allocation_candidates = builders.candidates(
                state, request, serving={"any": state.pci_stats.pools}
            )
        passed = list(GpuPassthroughFilter().filter_all([valuable, cheap], request))
        items = [WeighedObject(host, 0.0) for host in passed]
        result = gpu_weigher.weigh_objects(items, request)
        assert items[result.index(max(result))].obj.host == first


def test_gpus_known_by_an_option_only_are_packed(weigher):
    ids = {"vendor_id": "1234", "product_id": "5678"}
    hosts = [
        host_state(name, [pool(n, ids, host=name) for n in range(count)])
        for name, count in (("eight", 8), ("two", 2))
    ]
    spec = request_spec(pci_request(spec=ids, alias="own"))
    gpu_weigher = weigher({ONE: 1}, aliases=["own"])
    items = [WeighedObject(host, 0.0) for host in hosts]
    eight, two = gpu_weigher.weigh_objects(items, spec)
    assert 0.8 < eight < two < 1.0


# -- from request to request -------------------------------------------------------------------


def test_requests_are_learned(weigher):
    gpu_weigher = weigher(mix_half_life=10)
    hosts = [gpus("a", 8), gpus("b", 4)]
    weighed(gpu_weigher, hosts, one_gpu())
    weighed(gpu_weigher, hosts, one_gpu(ram=8192))
    weighed(gpu_weigher, hosts, request_spec())
    learned = policy_of(gpu_weigher).classes
    assert [(c.gpus, c.model, c.vcpus, c.ram_mib) for c in learned] == [
        (1, "H100-SXM", 4, 4096),
        (1, "H100-SXM", 4, 8192),
    ]


def test_requests_that_fit_on_no_host_are_learned(weigher):
    gpu_weigher = weigher(mix_half_life=10)
    offered([gpus("a", 4)], request_spec(pci_request(8), vcpus=32))
    # When no GPU is free, the model is the one offered before.
    gpu_filter = GpuPassthroughFilter()
    for free in (1, 0):
        offered([gpus("a", free)], request_spec(pci_request(2)), gpu_filter)
    weighed(gpu_weigher, [gpus("a", 8)], request_spec())
    learned = [(c.gpus, c.model, c.vcpus) for c in policy_of(gpu_weigher).classes]
    assert learned == [(8, "H100-SXM", 32), (2, "H100-SXM", 4)]


def test_requests_for_other_devices_are_not_learned(weigher):
    gpu_weigher = weigher(mix_half_life=10)
    nic = host_state("nic", [pool(1, NIC)])
    weighed(gpu_weigher, [nic], request_spec(pci_request(spec=NIC)))
    weighed(gpu_weigher, [nic], request_spec())
    assert list(policy_of(gpu_weigher).classes) == []


def test_without_a_half_life_nothing_is_learned(weigher):
    gpu_weigher = weigher({EIGHT: 1})
    weighed(gpu_weigher, [gpus("a", 8)], one_gpu())
    assert list(policy_of(gpu_weigher).classes) == [EIGHT]


def consume(state, spec):
    """Do what the scheduler does with the host that it selects."""
    mappings = state.allocation_candidates[0]["mappings"]
    for group in spec.requested_resources:
        group.provider_uuids = mappings[group.requester_id]
    state.consume_from_request(spec)


def test_a_host_that_the_scheduler_filled_counts_no_longer(weigher):
    gpu_weigher = weigher({ONE: 1})
    hosts = [gpus("full", 1), gpus("other", 8)]
    spec = one_gpu()
    assert ranked(gpu_weigher, hosts, spec)[0] == "full"
    assert list(policy_of(gpu_weigher).supply) == [9]
    consume(hosts[0], spec)
    # Placement does not return it for the next request.
    ranked(gpu_weigher, [hosts[1], gpus("third", 2)], one_gpu())
    assert list(policy_of(gpu_weigher).supply) == [8 + 2]


def test_a_host_that_was_the_only_one_is_tracked(weigher):
    gpu_weigher = weigher({ONE: 1})
    only = gpus("only", 1)
    ranked(gpu_weigher, [only, gpus("other", 8)], one_gpu())
    # Nova does not call the weigher for one host.
    spec = one_gpu()
    assert ranked(gpu_weigher, [only], spec) == ["only"]
    consume(only, spec)
    assert list(policy_of(gpu_weigher).supply) == [9]
    ranked(gpu_weigher, [gpus("other", 8), gpus("third", 2)], one_gpu())
    assert list(policy_of(gpu_weigher).supply) == [8 + 2]


def test_a_host_not_seen_for_long_is_forgotten(weigher, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(ranking.time, "monotonic", lambda: clock[0])
    gpu_weigher = weigher({ONE: 1})
    weighed(gpu_weigher, [gpus("a", 8), gpus("b", 4)], one_gpu())
    clock[0] += 1000
    weighed(gpu_weigher, [gpus("b", 4)], one_gpu())
    assert list(policy_of(gpu_weigher).supply) == [12]
    clock[0] += 1000
    weighed(gpu_weigher, [gpus("c", 1)], one_gpu())
    assert list(policy_of(gpu_weigher).supply) == [5]


def test_nodes_of_one_host_are_distinct(weigher):
    gpu_weigher = weigher({ONE: 1})
    nodes = [gpus("a", 8), gpus("a", 4)]
    nodes[1].nodename = "a2"
    weighed(gpu_weigher, nodes, one_gpu())
    assert list(policy_of(gpu_weigher).supply) == [12]


def test_a_changed_mix_file_is_read_again(weigher, monkeypatch, tmp_path, logged):
    clock = [1000.0]
    monkeypatch.setattr(ranking.time, "monotonic", lambda: clock[0])
    gpu_weigher = weigher({ONE: 1})
    hosts, gpu_filter = [gpus("a", 8)], GpuPassthroughFilter()
    weighed(gpu_weigher, hosts, one_gpu(), gpu_filter)
    (tmp_path / "mix.yaml").write_text(mix.dump({EIGHT: 1, ONE: 3}))
    weighed(gpu_weigher, hosts, one_gpu(), gpu_filter)
    assert list(policy_of(gpu_weigher).classes) == [ONE]
    clock[0] += 60
    weighed(gpu_weigher, hosts, one_gpu(), gpu_filter)
    assert set(policy_of(gpu_weigher).classes) == {ONE, EIGHT}
    assert list(policy_of(gpu_weigher).supply) == [8, 8]
    (tmp_path / "mix.yaml").write_text("nonsense")
    clock[0] += 60
    weighed(gpu_weigher, hosts, one_gpu(), gpu_filter)
    assert set(policy_of(gpu_weigher).classes) == {ONE, EIGHT}
    assert len(logged("WARNING", "The mix file has changed, but cannot be used")) == 1


# -- errors ------------------------------------------------------------------------------------


def test_a_host_with_malformed_data_gets_the_lowest_weight(weigher, logged):
    gpu_weigher = weigher({ONE: 1})
    broken, good = gpus("broken", 8), gpus("good", 8)
    broken.vcpus_total = "many"
    assert weighed(gpu_weigher, [broken, good], request_spec()) == {"broken": 0.0, "good": 1.0}
    assert len(logged("WARNING", "Host broken")) == 1
    assert weighed(gpu_weigher, [broken, good], one_gpu())["broken"] == pytest.approx(0.8)


class _Raising(Fragmentation):
    """A policy that raises."""

    def rank(self, offers):
        raise RuntimeError("no idea")


class _Short(Fragmentation):
    """A policy that does not rank all offers."""

    def rank(self, offers):
        return [17.0]


@pytest.mark.parametrize("policy", [_Raising, _Short])
def test_hosts_are_weighed_by_quality_if_the_policy_fails(
    policy, weigher, options, monkeypatch, fake_entry_point, logged
):
    fake_entry_point(monkeypatch, odd=policy)
    weigher()
    options(policy="odd")
    gpu_weigher = GpuPassthroughWeigher()
    hosts = [gpus("a", 8), gpus("b", 4)]
    assert weighed(gpu_weigher, hosts, one_gpu()) == pytest.approx({"a": 0.8, "b": 0.8})
    assert weighed(gpu_weigher, hosts, request_spec()) == {"a": 0.0, "b": 0.0}
    assert logged("WARNING")


def test_no_hosts_get_no_weights(weigher):
    assert weigher({ONE: 1}).weigh_objects([], one_gpu()) == []


def test_threads_can_rank_at_the_same_time(weigher):
    gpu_weigher = weigher({ONE: 1}, mix_half_life=5)
    errors = []

    def rank_hosts(number):
        try:
            for turn in range(20):
                hosts = [gpus(f"host{n}", (number + turn + n) % 8 + 1) for n in range(4)]
                weighed(gpu_weigher, hosts, one_gpu(ram=1024 * (1 + turn % 7)))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=rank_hosts, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    policy = policy_of(gpu_weigher)
    assert list(policy.supply) == [
        sum(host.counts[k] for host in policy._hosts.values()) for k in range(len(policy.classes))
    ]
