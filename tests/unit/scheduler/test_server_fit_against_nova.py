# SPDX-License-Identifier: Apache-2.0
"""Compare how many servers fit with the filters and Nova's own accounting, on random hosts."""

import logging

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from nova import exception
from nova.scheduler.filters.numa_topology_filter import NUMATopologyFilter
from nova.scheduler.filters.pci_passthrough_filter import PciPassthroughFilter

from nova_gpu_passthrough.fleet import demand
from nova_gpu_passthrough.nova_rules.host_capacity import Amount, DeviceCapacity, HostCapacity
from nova_gpu_passthrough.nova_rules.host_cell import HostCell, MemoryPages
from nova_gpu_passthrough.nova_rules.refusal import Refusal, Stage
from nova_gpu_passthrough.nova_rules.server_fit import fit_server
from nova_gpu_passthrough.scheduler import requests as scheduler_requests
from nova_gpu_passthrough.scheduler.assessment import assess
from nova_gpu_passthrough.scheduler.filters import GpuPassthroughFilter
from nova_gpu_passthrough.topology.model import FreeDevice
from tests.unit import builders
from tests.unit.cloud.builders import alias
from tests.unit.scheduler import nova_hosts

ALIASES = demand.by_name([alias("h100"), alias("nic", kind="nic")])
PLENTY = tuple((name, Amount(10**6)) for name in ("VCPU", "PCPU", "MEMORY_MB", "DISK_GB"))
TRAITS = frozenset(("COMPUTE_SOCKET_PCI_NUMA_AFFINITY", "HW_CPU_HYPERTHREADING"))


@st.composite
def capacities(draw):
    """A host with up to eight GPUs and two NICs on up to four NUMA nodes, partly used."""
    count = draw(st.sampled_from([1, 2, 2, 4]))
    socket_of = draw(st.sampled_from([lambda n: n // 2, lambda n: n, lambda n: None]))
    cells = []
    for number in range(count):
        cores = [frozenset((number * 100 + n, number * 100 + n + 50)) for n in range(8)]
        dedicated = frozenset().union(*cores[1:])
        # Whole cores, or any CPUs as left by a server with another thread policy.
        used = draw(st.sampled_from([0, 0, 0, 2, 5, 14]))
        cells.append(
            HostCell(
                number,
                16384,
                socket_of(number),
                cores[0],
                draw(st.integers(0, 2)),
                dedicated,
                frozenset(sorted(dedicated)[:used]),
                tuple(cores),
                draw(st.sampled_from([0, 0, 4096, 12288])),
                (
                    MemoryPages(4, 2 * 1024 * 1024, draw(st.sampled_from([0, 1024 * 1024]))),
                    MemoryPages(1048576, 8, draw(st.sampled_from([0, 0, 3, 7]))),
                ),
            )
        )
    nodes = st.sampled_from([*range(count), *range(count), None])
    devices = []
    for number in range(draw(st.sampled_from([8, 8, 6, 3, 1]))):
        node = draw(nodes)
        gpu = builders.gpu(
            number,
            node,
            draw(st.sampled_from(["x", "x", f"x/h{node}", "y"])),
            draw(st.sampled_from(["a", "b", f"s{node}"])),
        )
        free, reserved = draw(st.sampled_from([(1, 0)] * 8 + [(0, 1), (0, 0)]))
        devices.append(DeviceCapacity("CUSTOM_H100", gpu, frozenset(), free, reserved))
    for number in range(draw(st.integers(0, 2))):
        nic = FreeDevice(builders.address(64 + number), draw(nodes), draw(st.sampled_from("ab")))
        devices.append(DeviceCapacity("CUSTOM_NIC", nic))
    return HostCapacity(PLENTY, tuple(cells), tuple(devices), TRAITS)


@st.composite
def flavors(draw):
    """Extra specs of a GPU flavor of 4 vCPUs and 4096 MiB."""
    specs = {"pci_passthrough:alias": f"h100:{draw(st.sampled_from([1, 1, 2, 2, 4]))}"}
    if draw(st.integers(0, 4)) == 4:
        specs["pci_passthrough:alias"] += ",nic:1"
    for key, values in {
        "hw:cpu_policy": ["dedicated", "dedicated", "dedicated", "shared", None],
        "hw:numa_nodes": ["1", "1", "2", "2", "4", None],
        "hw:mem_page_size": ["1GB", "small", "large", None, None],
        "hw:pci_numa_affinity_policy": ["required", "required", "socket", "preferred", "legacy"],
        "gpu:link": ["required", None, None],
        "gpu:switch": ["required", None, None],
        "gpu:numa": ["required", None, None],
    }.items():
        value = draw(st.sampled_from(values))
        if value:
            specs[key] = value
    if specs.get("hw:cpu_policy") == "dedicated":
        threads = draw(st.sampled_from([None, None, "prefer", "require"]))
        if threads:
            specs["hw:cpu_thread_policy"] = threads
        if draw(st.integers(0, 3)) == 3:
            specs["hw:emulator_threads_policy"] = "isolate"
    return specs


@pytest.fixture
def chain(options):
    """The filters in the order of the generated configuration."""
    logging.disable(logging.CRITICAL)
    options(randomize_equal_choices=False)
    yield GpuPassthroughFilter(), PciPassthroughFilter(), NUMATopologyFilter()
    logging.disable(logging.NOTSET)


def addresses(choice):
    return sorted(d.address for devices in choice.devices.values() for d in devices)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(capacities(), flavors())
def test_servers_fit_one_after_the_other_as_in_nova(chain, capacity, specs):
    server_demand = demand.read(demand.FlavorSize(4, 4096), specs, ALIASES).server_demand
    state = nova_hosts.host_state(capacity)
    by_provider = {
        builders.provider_of("host", one.device.address): one.device.address
        for one in capacity.devices
    }
    placed = 0
    while True:
        server_fit = fit_server(capacity, server_demand)
        spec = nova_hosts.request_spec(server_demand, 4, 4096, specs)
        state.allocation_candidates = nova_hosts.candidates(capacity, server_demand, spec, state)
        stages = []
        if state.allocation_candidates:
            for one in chain:
                passed = list(one.filter_all([state], spec))
                stages.append(type(one).__name__)
                if not passed:
                    break
            else:
                stages.append("claim")
                try:
                    providers = nova_hosts.claim(state, spec)
                except exception.NovaException:
                    pass
                else:
                    assert not isinstance(server_fit, Refusal), server_fit
                    assert addresses(server_fit.choice) == sorted(by_provider[p] for p in providers)
                    capacity = server_fit.remaining
                    check_capacity(capacity, state)
                    placed += 1
                    continue
        assert isinstance(server_fit, Refusal), (server_fit, stages)
        last = stages[-1] if stages else "Placement"
        event(f"{placed} placed, refused by {last}")
        assert server_fit.stage == Stage(last)
        if server_fit.stage is Stage.GPU_FILTER:
            refusal = assess(state, scheduler_requests.read(spec, (), ())).refusal
            assert server_fit.reason is refusal.reason
            assert server_fit.detail.startswith(refusal.detail)
        return


def check_capacity(capacity, state):
    """Check that the host capacity agrees with Nova's host state."""
    free = {p["address"]: p["count"] for p in state.pci_stats.pools if p["count"]}
    assert free == {d.device.address: d.pooled for d in capacity.devices if d.pooled}
    for cell, nova_cell in zip(capacity.cells, state.numa_topology.cells, strict=True):
        assert cell.pinned == nova_cell.pinned_cpus
        assert cell.used_mib == nova_cell.memory_usage
        assert [p.used for p in cell.pages] == [p.used for p in nova_cell.mempages]
