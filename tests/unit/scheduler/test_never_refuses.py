# SPDX-License-Identifier: Apache-2.0
"""A differential fuzz: the filter never refuses a host on which Nova alone serves the server.

Hosts, servers and what Placement sends are random: page sizes, thread policies, sockets, GPUs as
physical and virtual functions, SR-IOV ports, providers that Placement holds back although the
compute node's pools show them as free, and lists of candidates that were cut. No request names a
constraint that only this package knows (links, companions, protection), so every refusal is
compared with Nova's PciPassthroughFilter, its NUMATopologyFilter and its claim.

``NOVA_GPU_FUZZ=10000`` tries so many hosts.
"""

import copy
import itertools
import logging
import os
import uuid
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from nova import exception, objects
from nova.scheduler.filters.numa_topology_filter import NUMATopologyFilter
from nova.scheduler.filters.pci_passthrough_filter import PciPassthroughFilter
from nova.virt import hardware

from nova_gpu_passthrough.scheduler.filters import GpuPassthroughFilter
from tests.unit import builders

MI300X_VF = {"vendor_id": "1002", "product_id": "74b5"}
PORT_VF = {"vendor_id": "15b3", "product_id": "101e", "physical_network": "physnet0"}
IDS = {"gpu": builders.H100, "vf": MI300X_VF}
POLICIES = [None, "required", "preferred", "legacy", "socket"]


class Provider(NamedTuple):
    """Devices of one resource provider: a pool of Nova's, and what Placement would give."""

    pool: dict
    #: Which alias's resource class it has; another class over the same ids serves none.
    alias: str | None
    #: Free units in Placement; fewer than in the pool where some are reserved or leaked.
    free: int


class Case(NamedTuple):
    cells: list
    providers: list
    #: Pools that Placement does not track.
    nics: list
    #: Devices by alias.
    aliases: dict
    #: NUMA policies of the ports.
    ports: list
    extra_specs: dict
    policy: str | None
    in_placement: bool
    #: Physical networks of the server's ports, and whether it has tunneled ones.
    networks: tuple
    #: How many candidates Placement sends at most.
    most: int


@st.composite
def cells(draw):
    count = draw(st.sampled_from([1, 2, 2, 4, 8]))
    socket = draw(st.sampled_from([lambda n: n // 2, lambda n: 0, lambda n: n]))
    threads = draw(st.sampled_from([1, 2, 2]))
    made = []
    for number in range(count):
        first = 100 * number
        cores = [set(range(first + n * threads, first + (n + 1) * threads)) for n in range(10)]
        dedicated = set().union(*cores[4:])
        pinned = set(sorted(dedicated)[: draw(st.sampled_from([0, 0, 0, 0, 1, len(dedicated)]))])
        total_small, total_large = 2 * 1024 * 1024, 8
        made.append(
            {
                "id": number,
                "cpuset": set().union(*cores[:4]),
                "pcpuset": dedicated,
                "pinned_cpus": pinned,
                "siblings": cores,
                "memory": 16384,
                "memory_usage": draw(st.sampled_from([0, 0, 0, 8192, 14336])),
                "cpu_usage": draw(st.integers(0, 2)),
                "mempages": draw(
                    st.sampled_from(
                        [
                            [(4, 2 * total_small, 0)],
                            [(4, total_small, 0), (1048576, total_large, 0)],
                            [(4, total_small, 0), (1048576, total_large, 0)],
                            [(4, total_small, 0), (1048576, total_large, total_large)],
                            [(4, total_small, total_small), (1048576, total_large, 4)],
                        ]
                    )
                ),
                "socket": socket(number),
                "physnets": draw(st.sampled_from([set(), set(), set(), {"physnet0"}])),
                "tunneled": draw(st.sampled_from([False, False, False, True])),
            }
        )
    return made


@st.composite
def cases(draw):
    host_cells = draw(cells())
    nodes = st.sampled_from([*range(len(host_cells)), *range(len(host_cells)), None])
    in_placement = draw(st.sampled_from([True, True, True, False]))
    tagged = draw(st.booleans())
    providers = []
    for number in range(draw(st.sampled_from([2, 4, 6, 8, 8]))):
        node = draw(nodes)
        words = {"gpu_model": "H100-SXM", "gpu_link_group": f"x/h{node}"} if tagged else {}
        pool = builders.pool(number, node=node, host="host" if in_placement else None, **words)
        alias, free = draw(st.sampled_from([("gpu", 1)] * 7 + [("gpu", 0), (None, 1)]))
        providers.append(Provider(pool, alias, free))
    for number in range(draw(st.sampled_from([0, 0, 1, 2, 2]))):
        count = draw(st.integers(1, 4))
        pool = builders.pool(
            32 + number,
            MI300X_VF,
            draw(nodes),
            count,
            "host" if in_placement else None,
            dev_type="type-VF",
            remote_managed="false",
        )
        providers.append(Provider(pool, "vf", draw(st.integers(max(0, count - 2), count))))
    nics = [
        builders.pool(
            64 + number,
            PORT_VF,
            draw(nodes),
            draw(st.integers(1, 2)),
            dev_type="type-VF",
            remote_managed="false",
        )
        for number in range(draw(st.sampled_from([0, 1, 1, 2])))
    ]
    free = {alias: sum(one.free for one in providers if one.alias == alias) for alias in IDS}
    served = [alias for alias in IDS if free[alias]] or ["gpu"]
    aliases = {
        alias: draw(st.integers(1, max(1, min(3, free[alias]))))
        for alias in draw(st.sampled_from([served[:1], served[:1], served[-1:], served]))
    }
    specs = {}
    for key, values in {
        "hw:cpu_policy": ["dedicated", "dedicated", "shared", None],
        "hw:numa_nodes": ["1", "1", "2", None],
        "hw:mem_page_size": ["1GB", "small", "large", None, None, None],
    }.items():
        value = draw(st.sampled_from(values))
        if value:
            specs[key] = value
    if specs.get("hw:cpu_policy") == "dedicated":
        threads = draw(st.sampled_from([None, None, None, "prefer", "require", "isolate"]))
        if threads:
            specs["hw:cpu_thread_policy"] = threads
        if draw(st.integers(0, 3)) == 3:
            specs["hw:emulator_threads_policy"] = "isolate"
    return Case(
        host_cells,
        providers,
        nics,
        aliases,
        draw(st.lists(st.sampled_from(POLICIES), max_size=len(nics))),
        specs,
        draw(st.sampled_from(POLICIES)),
        in_placement,
        (
            draw(st.sampled_from([set(), set(), {"physnet0"}, {"physnet0", "physnet1"}])),
            draw(st.sampled_from([False, False, True])),
        ),
        draw(st.sampled_from([200, 50, 8, 3])),
    )


def host_state(case):
    """The host as nova-scheduler holds it."""
    pools = [copy.deepcopy(one.pool) for one in case.providers]
    state = builders.host_state("host", pools + copy.deepcopy(case.nics))
    state.numa_topology = objects.NUMATopology(cells=[_numa_cell(**c) for c in case.cells])
    state.pci_stats.numa_topology = state.numa_topology
    state.cpu_allocation_ratio = state.ram_allocation_ratio = 1.0
    return state


def _numa_cell(physnets, tunneled, mempages, **fields):
    return objects.NUMACell(
        network_metadata=_networks(physnets, tunneled),
        mempages=[
            objects.NUMAPagesTopology(size_kb=size, total=total, used=used, reserved=0)
            for size, total, used in mempages
        ],
        **copy.deepcopy(fields),
    )


def _networks(physnets, tunneled):
    return objects.NetworkMetadata(physnets=set(physnets), tunneled=tunneled)


def request_spec(case):
    """The request of a server with 4 vCPUs and 4 GiB; None where Nova refuses the flavor."""
    requests = [
        objects.InstancePCIRequest(
            count=count,
            spec=[dict(IDS[alias])],
            alias_name=alias,
            request_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, alias)),
            requester_id=None,
            numa_policy=case.policy,
            is_new=False,
        )
        for alias, count in case.aliases.items()
    ]
    requests += [
        objects.InstancePCIRequest(
            count=1,
            spec=[{"physical_network": "physnet0", "remote_managed": "False"}],
            alias_name=None,
            request_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, f"port{number}")),
            requester_id=f"port{number}",
            numa_policy=policy,
            is_new=False,
        )
        for number, policy in enumerate(case.ports)
    ]
    spec = builders.request_spec(*requests, in_placement=case.in_placement)
    spec.network_metadata = _networks(*case.networks)
    flavor = objects.Flavor(
        vcpus=4,
        memory_mb=4096,
        root_gb=1,
        ephemeral_gb=0,
        swap=0,
        extra_specs=dict(case.extra_specs),
    )
    image = objects.ImageMeta(properties=objects.ImageMetaProps())
    spec.flavor = flavor
    try:
        spec.numa_topology = hardware.numa_get_constraints(flavor, image)
    except exception.NovaException:
        return None
    return spec


def placement_candidates(case, state, spec):
    """Placement's answer: every order of the free devices of an alias's class, cut."""
    offers = []
    for request in spec.pci_requests.requests:
        if request.source != builders.FLAVOR_ALIAS or not case.in_placement:
            continue
        units = [
            one.pool["rp_uuid"]
            for one in case.providers
            if one.alias == request.alias_name
            for _ in range(one.free)
        ]
        names = [f"{request.request_id}-{index}" for index in range(request.count)]
        orders = itertools.islice(itertools.permutations(units, request.count), 3000)
        offers.append(
            [dict(zip(names, o, strict=True)) for o in dict.fromkeys(orders)][: case.most]
        )
    root = {state.uuid: {"VCPU": spec.vcpus, "MEMORY_MB": spec.memory_mb}}
    return [
        builders.candidate(
            {name: provider for part in parts for name, provider in part.items()},
            root,
            {"": [state.uuid]},
        )
        for parts in itertools.islice(itertools.product(*offers), case.most)
    ]


def serve(case, filters):
    """Run the filters and the claim; return None if the server boots, or who refused it."""
    state, spec = host_state(case), request_spec(case)
    state.allocation_candidates = placement_candidates(case, state, spec)
    if not state.allocation_candidates:
        return "Placement"
    for one in filters:
        if not list(one.filter_all([state], spec)):
            return type(one).__name__
    if case.in_placement:
        first = state.allocation_candidates[0]
        free = {one.pool["rp_uuid"]: one.free for one in case.providers}
        for provider, allocation in first["allocations"].items():
            taken = sum(allocation["resources"].values())
            if provider in free and taken > free[provider]:
                return "Placement's claim"
        for group in spec.requested_resources:
            group.provider_uuids = first["mappings"][group.requester_id]
    before = sum(pool["count"] for pool in state.pci_stats.pools)
    try:
        # consume_from_request itself swallows what the same code raises in nova-compute.
        state._locked_consume_from_request(spec)
    except (exception.NovaException, AttributeError):
        return "nova-compute's claim"
    consumed = before - sum(pool["count"] for pool in state.pci_stats.pools)
    if consumed != sum(case.aliases.values()) + len(case.ports):
        # With VFs that Placement allocates on several nodes, Nova may give the server fewer devices
        # than it requests (_apply_request in nova/pci/stats.py).
        return "an incomplete claim"
    return None


@pytest.fixture(scope="module")
def plugins():
    logging.disable(logging.CRITICAL)
    yield [GpuPassthroughFilter()]
    logging.disable(logging.NOTSET)


@pytest.mark.timeout(7200)
@settings(
    max_examples=int(os.environ.get("NOVA_GPU_FUZZ", "250")),
    suppress_health_check=list(HealthCheck),
    deadline=None,
)
@given(cases())
def test_what_nova_alone_serves_is_never_refused(plugins, case):
    if request_spec(case) is None:
        event("Nova refuses the flavor")
        return
    in_tree = [PciPassthroughFilter(), NUMATopologyFilter()]
    alone = serve(case, in_tree)
    event(f"Nova alone: {alone or 'served'}")
    if alone is None:
        assert serve(case, plugins + in_tree) is None
