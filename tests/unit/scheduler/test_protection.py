# SPDX-License-Identifier: Apache-2.0
"""The protection of GPU hosts from servers without GPUs."""

import pytest
from oslo_config import cfg

from nova_gpu_passthrough.scheduler.protection import Protection
from nova_gpu_passthrough.scheduler.refusal_log import HostWarnings
from tests.unit import builders
from tests.unit.builders import NIC, T4, aggregate, host_state, pool, request_spec

RESERVED = "it is reserved for servers with GPUs"


@pytest.fixture
def refusal_reason(options):
    """Return refusal_reason a server is refused, with the options ``values``."""

    def ask(state, spec=None, rules=None, **values):
        if values:
            options(**values)
        rules = rules or Protection(cfg.CONF.gpu_passthrough, HostWarnings())
        return rules.refusal_reason(state, spec or request_spec(vcpus=8, ram=8192))

    return ask


def gpu_host(*aggregates, count=4, **resources):
    resources = {"vcpus": 64, "vcpus_used": 16, "ram": 65536, "free_ram": 32768, **resources}
    return host_state("gpu-host", [pool(n) for n in range(count)], (), aggregates, **resources)


def test_nothing_is_protected_by_default(refusal_reason):
    assert refusal_reason(gpu_host(vcpus_used=64, free_ram=0)) is None


@pytest.mark.parametrize(
    ("pools", "free"),
    [
        ([pool(1), pool(2, T4, count=3), pool(3, NIC, count=64)], 4),
        ([pool(1), {"junk": 1}, pool(2, count=-3), None], 1),
        ([], 0),
    ],
)
def test_gpus_are_counted_without_other_devices_and_malformed_pools(refusal_reason, pools, free):
    state = host_state("h", pools, vcpus=64, vcpus_used=56)
    reason = refusal_reason(state, reserved_vcpus_per_gpu=100)
    text = f"0 shared vCPUs would be left, {free}00 are reserved for its free GPUs"
    assert reason == (text if free else None)


# -- hosts for GPU servers only ----------------------------------------------------------------


def test_gpu_hosts_may_be_reserved_for_gpu_servers(refusal_reason):
    assert refusal_reason(gpu_host(), only_gpu_servers=True) == RESERVED
    assert refusal_reason(host_state("cpu-host")) is None
    assert refusal_reason(host_state("nic-host", [pool(1, NIC)])) is None


def test_a_gpu_host_is_remembered_when_its_gpus_are_in_use(refusal_reason, options):
    options(only_gpu_servers=True)
    rules = Protection(cfg.CONF.gpu_passthrough, HostWarnings())
    assert refusal_reason(gpu_host(count=0), rules=rules) is None
    assert refusal_reason(gpu_host(), rules=rules) == RESERVED
    assert refusal_reason(gpu_host(count=0), rules=rules) == RESERVED


def test_a_host_that_served_a_gpu_request_is_remembered(refusal_reason, options):
    options(only_gpu_servers=True)
    rules = Protection(cfg.CONF.gpu_passthrough, HostWarnings())
    rules.add_gpus("gpu-host", [builders.gpu(1)])
    assert refusal_reason(gpu_host(count=0), rules=rules) == RESERVED


def test_gpus_that_only_an_option_identifies_are_protected(refusal_reason, options):
    options(only_gpu_servers=True, reserved_vcpus_per_gpu=11)
    rules = Protection(cfg.CONF.gpu_passthrough, HostWarnings())
    own = {"vendor_id": "1eed", "product_id": "0001"}
    state = host_state("other", [pool(1, own)])
    assert refusal_reason(state, rules=rules) is None
    rules.add_gpus("gpu-host", [builders.gpu(1, model="1eed:0001")])
    assert refusal_reason(state, rules=rules) == RESERVED


def test_an_aggregate_reserves_hosts_whose_gpus_are_all_in_use(refusal_reason):
    assert refusal_reason(gpu_host(aggregate(only_gpu_servers="true"), count=0)) == RESERVED


def test_an_aggregate_exempts_its_hosts(refusal_reason):
    assert (
        refusal_reason(gpu_host(aggregate(only_gpu_servers="false")), only_gpu_servers=True) is None
    )


@pytest.mark.parametrize("values", [("true", "false"), ("false", "true"), ("false", "yes")])
def test_of_several_aggregates_true_wins(refusal_reason, values):
    state = gpu_host(*(aggregate(only_gpu_servers=value) for value in values))
    assert refusal_reason(state) == RESERVED


@pytest.mark.parametrize(
    "value, refused", [("True", True), ("1", True), ("no", False), ("OFF", False)]
)
def test_booleans_are_written_as_elsewhere_in_nova(refusal_reason, value, refused):
    reason = refusal_reason(
        gpu_host(aggregate(only_gpu_servers=value)), only_gpu_servers=not refused
    )
    assert (reason == RESERVED) is refused


# -- vCPUs and memory for free GPUs --------------------------------------------------------------


def test_vcpus_are_reserved_for_every_free_gpu(refusal_reason):
    # 64 - 16 - 8 = 40 vCPUs are left.
    assert refusal_reason(gpu_host(), reserved_vcpus_per_gpu=10) is None
    reason = refusal_reason(gpu_host(), reserved_vcpus_per_gpu=11)
    assert reason == "40 shared vCPUs would be left, 44 are reserved for its free GPUs"


def test_pinned_cpus_count_against_dedicated_ones_only(refusal_reason):
    cells = [builders.cell(0, cpus=16, pcpus=48, pinned=40)]
    state = gpu_host(count=1)
    state.numa_topology = builders.objects.NUMATopology(cells=cells)
    state.vcpus_total, state.vcpus_used = 16, 40
    shared = request_spec(vcpus=8)
    pinned = request_spec(vcpus=8, numa=builders.guest_numa_topology((0, 8, 4096)))
    # 8 of 16 shared CPUs and none of 48 dedicated ones would be left.
    assert refusal_reason(state, shared, reserved_pcpus_per_gpu=12) is None
    assert refusal_reason(state, pinned, reserved_pcpus_per_gpu=12) == (
        "0 dedicated CPUs would be left, 12 are reserved for its free GPUs"
    )
    assert (
        refusal_reason(state, pinned, reserved_pcpus_per_gpu=0, reserved_vcpus_per_gpu=12) is None
    )
    assert refusal_reason(state, shared, reserved_vcpus_per_gpu=12) == (
        "8 shared vCPUs would be left, 12 are reserved for its free GPUs"
    )


def test_fewer_free_gpus_reserve_fewer_vcpus(refusal_reason):
    assert refusal_reason(gpu_host(count=3), reserved_vcpus_per_gpu=11) is None
    assert refusal_reason(gpu_host(count=0, vcpus_used=64), reserved_vcpus_per_gpu=11) is None


def test_vcpus_are_counted_with_the_allocation_ratio(refusal_reason):
    state = gpu_host()
    state.cpu_allocation_ratio = 2.0
    assert refusal_reason(state, reserved_vcpus_per_gpu=26) is None
    assert "104 shared vCPUs would be left, 108" in refusal_reason(state, reserved_vcpus_per_gpu=27)


def test_an_unknown_allocation_ratio_is_one(refusal_reason):
    state = gpu_host()
    state.cpu_allocation_ratio = None
    assert "40 shared vCPUs would be left, 44" in refusal_reason(state, reserved_vcpus_per_gpu=11)


def test_memory_is_reserved_for_every_free_gpu(refusal_reason):
    # 32768 - 8192 = 24576 MiB are left.
    assert refusal_reason(gpu_host(), reserved_ram_mib_per_gpu=6144) is None
    reason = refusal_reason(gpu_host(), reserved_ram_mib_per_gpu=6145)
    assert reason == "24576 MiB of RAM would be left, 24580 are reserved for its free GPUs"


def test_aggregates_override_the_options(refusal_reason):
    state = gpu_host(aggregate(reserved_vcpus_per_gpu="2", reserved_ram_mib_per_gpu="0"))
    assert refusal_reason(state, reserved_vcpus_per_gpu=99, reserved_ram_mib_per_gpu=99999) is None
    state = gpu_host(aggregate(reserved_vcpus_per_gpu="20"))
    assert "80 are reserved" in refusal_reason(
        state, reserved_vcpus_per_gpu=0, reserved_ram_mib_per_gpu=0
    )


def test_of_several_aggregates_the_largest_wins(refusal_reason):
    amounts = ("9", "20", "3")
    state = gpu_host(*(aggregate(reserved_vcpus_per_gpu=amount) for amount in amounts))
    assert "80 are reserved" in refusal_reason(state)


def test_an_aggregate_with_other_keys_changes_nothing(refusal_reason):
    assert refusal_reason(gpu_host(aggregate(other="1"))) is None
    state = gpu_host(aggregate(other="1"))
    assert "44 are reserved" in refusal_reason(state, reserved_vcpus_per_gpu=11)


@pytest.mark.parametrize(
    "key, value, expected",
    [
        ("only_gpu_servers", "perhaps", "true or false"),
        ("reserved_vcpus_per_gpu", "-1", "a whole number of 0 or more"),
        ("reserved_vcpus_per_gpu", "many", "a whole number of 0 or more"),
        ("reserved_ram_mib_per_gpu", "1.5", "a whole number of 0 or more"),
        ("reserved_ram_mib_per_gpu", "", "a whole number of 0 or more"),
    ],
)
def test_invalid_metadata_is_ignored_with_one_warning(refusal_reason, logged, key, value, expected):
    rules = Protection(cfg.CONF.gpu_passthrough, HostWarnings())
    for _ in range(3):
        assert refusal_reason(gpu_host(aggregate(**{key: value})), rules=rules) is None
    (line,) = logged("WARNING")
    reason = f"Host gpu-host: aggregate metadata gpu_passthrough:{key} is {value!r}, expected "
    assert line == f"{reason}{expected}; it is ignored"


def test_valid_metadata_counts_beside_invalid_metadata(refusal_reason):
    state = gpu_host(aggregate(reserved_vcpus_per_gpu="x"), aggregate(reserved_vcpus_per_gpu="11"))
    assert "44 are reserved" in refusal_reason(state)


def test_options_apply_if_all_metadata_is_invalid(refusal_reason):
    state = gpu_host(aggregate(reserved_vcpus_per_gpu="x"))
    assert "44 are reserved" in refusal_reason(state, reserved_vcpus_per_gpu=11)
