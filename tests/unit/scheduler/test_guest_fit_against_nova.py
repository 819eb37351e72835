# SPDX-License-Identifier: Apache-2.0
"""Compare guest topologies and their NUMA cells with Nova's code, on random flavors and hosts."""

import copy

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from nova import exception, objects
from nova.virt import hardware

from nova_gpu_passthrough.nova_rules import guest_topology as guests
from nova_gpu_passthrough.nova_rules.guest_fit import AllocationRatios, GuestFitState, fit_guest
from nova_gpu_passthrough.nova_rules.host_cell import HostCell, MemoryPages
from tests.unit.scheduler import nova_hosts

# -- flavors ---------------------------------------------------------------------------------

SPECS = {
    "hw:cpu_policy": ["dedicated", "dedicated", "dedicated", "shared", "mixed", "pinned"],
    "hw:cpu_thread_policy": ["prefer", "isolate", "require", "maybe"],
    "hw:emulator_threads_policy": ["isolate", "share", "none"],
    "hw:numa_nodes": ["1", "2", "3", "0", "two"],
    "hw:mem_page_size": ["small", "large", "any", "2048", "1GB", "2MB", "4KB", "huge"],
    "hw:cpu_dedicated_mask": ["0-1", "^0", "0-3", "7-9", "^0-9", "x"],
    "hw:cpu_realtime": ["yes", "no"],
    "hw:cpu_realtime_mask": ["^0", "1-2", "0-3", "8"],
    "hw:locked_memory": ["true", "false"],
    "resources:PCPU": ["4", "5", "0", "many"],
    "resources:VCPU": ["4", "0"],
    "trait:HW_CPU_HYPERTHREADING": ["required", "forbidden"],
    "hw:numa_cpus.0": ["0-1", "0,1,2", "0-3", "x"],
    "hw:numa_cpus.1": ["2-3", "3", "1-2"],
    "hw:numa_mem.0": ["1024", "2048"],
    "hw:numa_mem.1": ["1024", "3072"],
}


@st.composite
def extra_specs(draw):
    keys = draw(st.lists(st.sampled_from(sorted(SPECS)), max_size=6, unique=True))
    return {key: draw(st.sampled_from(SPECS[key])) for key in keys}


@settings(max_examples=500)
@given(st.sampled_from([1, 4, 6]), st.sampled_from([2048, 4096]), extra_specs())
@example(4, 2048, {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0-1"})
@example(
    4,
    2048,
    {
        "hw:cpu_policy": "dedicated",
        "hw:numa_nodes": "2",
        "hw:numa_cpus.0": "0,1,2",
        "hw:numa_cpus.1": "3",
        "hw:numa_mem.0": "1024",
        "hw:numa_mem.1": "1024",
    },
)
@example(4, 2048, {"resources:PCPU": "5", "hw:emulator_threads_policy": "isolate"})
def test_a_flavor_gets_the_guest_topology_of_nova(vcpus, memory, specs):
    try:
        theirs = nova_hosts.guest(vcpus, memory, specs)
    except (exception.NovaException, ValueError) as refusal:
        event(f"refused: {type(refusal).__name__}")
        with pytest.raises(guests.GuestTopologyError):
            guests.from_flavor(vcpus, memory, specs)
        return
    ours = guests.from_flavor(vcpus, memory, specs)
    if theirs is None:
        event("no NUMA topology")
        assert ours.cells == ()
        return
    event(f"{len(theirs.cells)} cells")
    assert [
        (cell.shared_cpus, cell.pinned_cpus, cell.memory_mib, ours.page_size, ours.cpu_policy)
        for cell in ours.cells
    ] == [
        (len(cell.cpuset), len(cell.pcpuset), cell.memory, cell.pagesize, cell.cpu_policy)
        for cell in theirs.cells
    ]
    assert {ours.thread_policy} == {cell.cpu_thread_policy for cell in theirs.cells}
    assert ours.emulator_isolated == theirs.emulator_threads_isolated


# -- hosts -----------------------------------------------------------------------------------

LEGACY = st.sampled_from([False, False, False, True])
ROOMY = st.sampled_from([True, True, False])


@st.composite
def host_cells(draw, number, threads, legacy, with_pages, roomy):
    """A small, partly used host cell; a roomy one is large and little used."""
    cores = [
        frozenset(number * 100 + core + 50 * thread for thread in range(threads))
        for core in range(draw(st.integers(4, 8) if roomy else st.integers(1, 5)))
    ]
    split = draw(st.integers(0, 1 if roomy else len(cores)))
    shared = frozenset().union(*cores[:split])
    dedicated = frozenset().union(*cores[split:])
    if legacy:
        shared = dedicated = shared | dedicated
    elif draw(st.booleans()):
        # An operator who splits a core between both sets.
        shared, dedicated = (
            shared | set(sorted(dedicated)[:1]),
            dedicated - set(sorted(dedicated)[:1]),
        )
    memory = 8192 if roomy else draw(st.sampled_from([1024, 2048, 4096]))
    usable = shared | dedicated
    pages = ()
    most = 4 if roomy else 1
    if with_pages:
        huge = memory // 4 if roomy else draw(st.integers(0, memory // 4))
        small = (memory - huge * 2) * 256
        pages = (
            MemoryPages(
                4,
                small,
                draw(st.integers(0, small // 256 // most)) * 256,
                draw(st.sampled_from([0, 256])),
            ),
            MemoryPages(2048, huge, draw(st.integers(0, huge // most))),
        )
        if draw(st.booleans()):
            pages += (MemoryPages(1048576, 1, draw(st.integers(0, 1))),)
    pinned = set()
    if dedicated:
        pinned = draw(st.sets(st.sampled_from(sorted(dedicated)), max_size=2 if roomy else None))
    return HostCell(
        number,
        memory,
        number // 2,
        shared,
        draw(st.integers(0, 4)),
        dedicated,
        frozenset(pinned),
        tuple(core & usable for core in cores if core & usable),
        draw(st.integers(0, memory // 4 if roomy else memory * 5 // 4)),
        pages,
    )


@st.composite
def hosts(draw, most=4):
    threads = draw(st.sampled_from([1, 2, 2, 2, 4]))
    legacy, with_pages, roomy = draw(LEGACY), draw(st.booleans()), draw(ROOMY)
    return tuple(
        draw(host_cells(number, threads, legacy, with_pages, roomy))
        for number in range(draw(st.integers(1, most)))
    )


POLICIES = st.sampled_from(["dedicated", "dedicated", "mixed", "shared", None])


@st.composite
def fitting_specs(draw):
    """Extra specs from which Nova makes cells for 4 vCPUs and 1024 or 2048 MiB."""
    policy = draw(POLICIES)
    specs = {}
    if policy:
        specs["hw:cpu_policy"] = policy
    if policy == "mixed":
        specs["hw:cpu_dedicated_mask"] = draw(st.sampled_from(["0-1", "0", "^3"]))
    if policy in ("dedicated", "mixed"):
        threads = draw(st.sampled_from([None, None, "prefer", "require", "isolate"]))
        if threads:
            specs["hw:cpu_thread_policy"] = threads
        if draw(st.booleans()):
            specs["hw:emulator_threads_policy"] = draw(st.sampled_from(["isolate", "share"]))
    pages = draw(st.sampled_from([None, None, "small", "large", "any", "2048", "1GB"]))
    if pages:
        specs["hw:mem_page_size"] = pages
    nodes = draw(st.sampled_from(["1", "1", "2", "2", "4"]))
    specs["hw:numa_nodes"] = nodes
    if nodes == "2" and draw(st.booleans()):
        specs |= {"hw:numa_cpus.0": "0-2", "hw:numa_cpus.1": "3"}
        specs |= {"hw:numa_mem.0": "512", "hw:numa_mem.1": "512"}
    return specs


def allocated_by_nova(fitted):
    return [
        (
            cell.id,
            cell.memory,
            len(cell.cpuset),
            set((cell.cpu_pinning or {}).values()) | (cell.cpuset_reserved or set()),
            cell.pagesize,
        )
        for cell in fitted.cells
    ]


@settings(max_examples=300)
@given(hosts(), fitting_specs(), st.sampled_from([None, (1.0, 1.0), (4.0, 1.5)]), st.data())
def test_a_guest_gets_the_same_cells_as_in_nova(cells, specs, ratios, data):
    memory = 1024
    theirs = nova_hosts.guest(4, memory, specs)
    topology = nova_hosts.topology(cells)
    limits = None
    if ratios:
        limits = objects.NUMATopologyLimits(
            cpu_allocation_ratio=ratios[0], ram_allocation_ratio=ratios[1]
        )
    state = GuestFitState(guests.from_flavor(4, memory, specs))
    # Twice, since a try of a host's second candidate starts with the state that the first left.
    for _ in range(2):
        refused = data.draw(st.sets(st.sampled_from([cell.id for cell in cells])))
        devices = {cell.id: data.draw(st.integers(0, 2)) for cell in cells}
        stats = FakePciStats(devices, refused)
        fitted = hardware.numa_fit_instance_to_host(topology, theirs, {}, limits, [object()], stats)
        ours = fit_guest(
            cells,
            state,
            AllocationRatios(*ratios) if ratios else None,
            lambda nodes, refused=refused: not refused.intersection(nodes),
            devices,
            True,
        )
        event(f"fits: {fitted is not None}")
        assert (ours is None) == (fitted is None)
        if ours is None:
            continue
        assert [
            (t.node, t.memory_mib, t.shared, set(t.pinned), t.page_size_kib) for t in ours
        ] == allocated_by_nova(fitted)
        if cells[0].pages:
            check_remaining_cells(cells, ours, topology, fitted)


class FakePciStats:
    """A fake PciDeviceStats: devices by node, and nodes on which requests are not supported."""

    def __init__(self, devices, refused):
        self.pools = [{"numa_node": node, "count": count} for node, count in devices.items()]
        self.refused = refused

    def support_requests(self, requests, mapping, cells):
        return not self.refused.intersection(cell.id for cell in cells)


def check_remaining_cells(cells, ours, topology, fitted):
    """Check that the same is left on the host, or that Nova fails with its own choice."""
    isolate = fitted.cells[0].cpu_thread_policy == "isolate"
    try:
        after = hardware.numa_usage_from_instance_numa(topology, copy.deepcopy(fitted))
    except exception.NovaException as failure:
        event(f"fails later: {type(failure).__name__}")
        with pytest.raises(ValueError):
            apply(cells, ours, isolate)
        return
    for nova, cell in zip(after.cells, apply(cells, ours, isolate), strict=True):
        assert nova.pinned_cpus == cell.pinned
        assert (nova.memory_usage, nova.cpu_usage) == (cell.used_mib, cell.shared_used)
        assert [(p.size_kb, p.used) for p in nova.mempages] == [
            (p.size_kib, p.used) for p in cell.pages
        ]


def apply(cells, guest_cells, isolate):
    by_id = {cell.id: cell for cell in cells}
    for one in guest_cells:
        by_id[one.node] = one.apply_to(by_id[one.node], isolate)
    return [by_id[cell.id] for cell in cells]
