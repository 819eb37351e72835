# SPDX-License-Identifier: Apache-2.0
"""Hosts with malformed data: no exception, one warning, no effect on other hosts."""

import math

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.scheduler import candidates, pools, requests
from nova_gpu_passthrough.scheduler.filters import GpuPassthroughFilter
from nova_gpu_passthrough.scheduler.weights import GpuPassthroughWeigher
from tests.unit import builders, strategies
from tests.unit.builders import NIC, host_state, pci_request, pool, request_spec

# Each example clears the log.
SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
GPU_SPEC = request_spec(pci_request(2), in_placement=True)
CPU_SPEC = request_spec()
NIC_SPEC = request_spec(pci_request(spec=NIC))
#: Only the devices of the host show whether the alias requests GPUs.
CLASS_SPEC = request_spec(pci_request(2, {"resource_class": "CUSTOM_H100"}), in_placement=True)
PROVIDERS = [builders.provider_of("bad", builders.address(number)) for number in (1, 2, 3)]
GROUPS = tuple(group.requester_id for group in GPU_SPEC.requested_resources)


class _Aggregate:
    """An aggregate with arbitrary metadata, most of which Nova's own object refuses."""

    def __init__(self, metadata):
        self.metadata = metadata


KEYS = (
    "only_gpu_servers",
    "reserved_vcpus_per_gpu",
    "reserved_pcpus_per_gpu",
    "reserved_ram_mib_per_gpu",
)
AGGREGATES = st.lists(
    st.builds(
        _Aggregate,
        st.dictionaries(
            st.sampled_from([f"gpu_passthrough:{k}" for k in (*KEYS, "weight_multiplier")]),
            strategies.json_values,
        )
        | strategies.json_values,
    ),
    max_size=2,
)


def bad_host(free, sent=(), aggregates=()):
    state = host_state("bad")
    state.pci_stats.pools = free
    state.allocation_candidates = sent
    state.aggregates = list(aggregates)
    return state


def good_host():
    state = host_state("good", [pool(n, host="good") for n in (1, 2, 3)])
    state.allocation_candidates = builders.candidates(state, GPU_SPEC)
    return state


def is_malformed(state):
    """Check whether the readers refuse the data of the host."""
    try:
        if state.allocation_candidates:
            request = requests.read(GPU_SPEC, (), ())
            candidates.read(state.allocation_candidates, request.groups)
        pools.read(state.pci_stats.pools)
    except (pools.MalformedPoolError, candidates.MalformedCandidatesError):
        return True
    return False


def is_partly_malformed(state):
    """Check whether some candidates of the host are malformed, but not all."""
    request = requests.read(GPU_SPEC, (), ())
    sent = state.allocation_candidates
    return bool(sent) and candidates.read(sent, request.groups).malformed > 0


def check(state, logged, caplog):
    caplog.clear()
    malformed = is_malformed(state)
    event("malformed" if malformed else "well-formed")
    gpu_filter = GpuPassthroughFilter()
    before = state.allocation_candidates
    partly_malformed = not malformed and is_partly_malformed(state)
    for _ in range(3):
        hosts = [state, good_host()]
        passing = [host.host for host in gpu_filter.filter_all(hosts, GPU_SPEC)]
        assert passing[-1:] == ["good"]
        if malformed:
            assert passing == ["good"]
            assert state.allocation_candidates is before
    warnings = logged("WARNING")
    # Reading stops passed the candidates list all free devices.
    assert len(warnings) in ({1} if malformed else {0, 1} if partly_malformed else {0}), warnings
    assert all(line.startswith("Host bad: ") for line in warnings)
    for spec in (CPU_SPEC, NIC_SPEC):
        hosts = [state, good_host()]
        assert [host.host for host in gpu_filter.filter_all(hosts, spec)] == ["bad", "good"]


@settings(max_examples=200, suppress_health_check=SHARED)
@given(free=strategies.broken_pools())
def test_malformed_pools(free, logged, caplog):
    check(bad_host(free), logged, caplog)


@settings(max_examples=200, suppress_health_check=SHARED)
@given(sent=strategies.broken_candidates(GROUPS, PROVIDERS) | strategies.json_values)
def test_malformed_candidates(sent, logged, caplog):
    free = [pool(number, host="bad") for number in (1, 2, 3)]
    check(bad_host(free, sent), logged, caplog)


@settings(max_examples=200, suppress_health_check=SHARED)
@given(
    free=strategies.broken_pools(),
    sent=strategies.broken_candidates(GROUPS, PROVIDERS) | strategies.json_values,
)
def test_malformed_data_for_an_alias_that_only_devices_identify(free, sent):
    for _ in range(2):
        hosts = [bad_host(free, sent), good_host()]
        passing = [host.host for host in GpuPassthroughFilter().filter_all(hosts, CLASS_SPEC)]
        assert passing[-1:] == ["good"]


def test_a_provider_that_is_no_string(logged):
    state = bad_host([{**pool(1, gpu_model="H100"), "rp_uuid": ["x"]}])
    state.allocation_candidates = builders.candidates(good_host(), CLASS_SPEC)
    # Placement lists other devices for the alias.
    assert list(GpuPassthroughFilter().filter_all([state], CLASS_SPEC)) == [state]


@settings(max_examples=150, suppress_health_check=SHARED)
@given(aggregates=AGGREGATES, protected=st.booleans())
def test_malformed_metadata_of_aggregates(aggregates, protected, logged, caplog, options):
    caplog.clear()
    options(reserved_vcpus_per_gpu=1 if protected else 0)
    gpu_filter = GpuPassthroughFilter()
    state = bad_host([pool(1), pool(2)], (), aggregates)
    for _ in range(2):
        assert list(gpu_filter.filter_all([state], GPU_SPEC)) == [state]
    passed = list(gpu_filter.filter_all([state], CPU_SPEC))
    warning_count = len(logged("WARNING"))
    assert list(gpu_filter.filter_all([state], CPU_SPEC)) == passed
    assert len(logged("WARNING")) == warning_count


@settings(max_examples=150, suppress_health_check=SHARED)
@given(
    free=strategies.broken_pools(),
    sent=strategies.broken_candidates(GROUPS, PROVIDERS) | strategies.json_values,
    aggregates=AGGREGATES,
    spec=st.sampled_from([GPU_SPEC, CPU_SPEC, NIC_SPEC]),
)
def test_weights_of_hosts_with_malformed_data_stay_within_the_bounds(
    free, sent, aggregates, spec, logged, caplog
):
    caplog.clear()
    weigher = GpuPassthroughWeigher()
    state = bad_host(free, sent, aggregates)
    for _ in range(2):
        weight = weigher._weigh_object(state, spec)
        assert 0.0 <= weight <= 1.0
        assert math.isfinite(weigher.weight_multiplier(state))
    assert len(logged("WARNING", "Host bad: ")) <= 1


@pytest.mark.parametrize("spec", [CPU_SPEC, NIC_SPEC])
def test_malformed_pools_never_block_a_server_without_gpus(spec, options):
    options(reserved_vcpus_per_gpu=4, reserved_ram_mib_per_gpu=1024, only_gpu_servers=True)
    state = bad_host([{"vendor_id": 1}, "x", None])
    assert list(GpuPassthroughFilter().filter_all([state], spec)) == [state]


def test_the_warning_names_the_problem_and_the_consequence(logged):
    state = bad_host([pool(1, gpu_modle="H100")])
    assert not list(GpuPassthroughFilter().filter_all([state], GPU_SPEC))
    (line,) = logged("WARNING")
    for part in ("Host bad", "0000:01:00.0", "gpu_modle", "gpu_model", "device_spec", "refused"):
        assert part in line
    assert "1 malformed host data" in logged("INFO")[0]


def test_an_unexpected_error_is_logged_with_its_type(logged, monkeypatch):
    monkeypatch.setattr(pools, "read", lambda free: 1 // 0)
    assert not list(GpuPassthroughFilter().filter_all([bad_host([])], GPU_SPEC))
    assert "ZeroDivisionError" in logged("WARNING")[0]
