# SPDX-License-Identifier: Apache-2.0
"""Keeping servers without GPUs from using up GPU hosts."""

import pytest
from oslo_config import cfg

from nova_gpu_passthrough.scheduler.protection import Protection, free_gpus
from nova_gpu_passthrough.scheduler.refusal_log import Warnings
from tests.unit.builders import NIC, T4, aggregate, host_state, pool, request_spec

KEPT = "it is kept for servers with GPUs"


@pytest.fixture
def why(options):
    """Ask why a server is refused; with ``options`` set before."""

    def ask(state, spec=None, rules=None, **values):
        if values:
            options(**values)
        rules = rules or Protection(cfg.CONF.gpu_passthrough, Warnings())
        return rules.why_refused(state, spec or request_spec(vcpus=8, ram=8192))

    return ask


def gpu_host(*aggregates, count=4, **resources):
    resources = {"vcpus": 64, "vcpus_used": 16, "ram": 65536, "free_ram": 32768, **resources}
    return host_state("gpu-host", [pool(n) for n in range(count)], (), aggregates, **resources)


def test_nothing_is_protected_by_default(why):
    assert why(gpu_host(vcpus_used=64, free_ram=0)) is None


def test_gpus_are_counted_without_other_devices_and_junk():
    assert free_gpus(host_state("h", [pool(1), pool(2, T4, count=3), pool(3, NIC, count=64)])) == 4
    assert free_gpus(host_state("h", [pool(1), {"junk": 1}, pool(2, count=-3), None])) == 1
    assert free_gpus(host_state("h", [])) == 0


# -- hosts for GPU servers only ----------------------------------------------------------------


def test_gpu_hosts_may_be_kept_for_gpu_servers(why):
    assert why(gpu_host(), only_gpu_servers=True) == KEPT
    assert why(host_state("cpu-host")) is None
    assert why(host_state("nic-host", [pool(1, NIC)])) is None


def test_a_gpu_host_is_remembered_when_its_gpus_are_in_use(why, options):
    options(only_gpu_servers=True)
    rules = Protection(cfg.CONF.gpu_passthrough, Warnings())
    assert why(gpu_host(count=0), rules=rules) is None
    assert why(gpu_host(), rules=rules) == KEPT
    assert why(gpu_host(count=0), rules=rules) == KEPT


def test_an_aggregate_keeps_hosts_whose_gpus_are_all_in_use(why):
    assert why(gpu_host(aggregate(only_gpu_servers="true"), count=0)) == KEPT


def test_an_aggregate_exempts_its_hosts(why):
    assert why(gpu_host(aggregate(only_gpu_servers="false")), only_gpu_servers=True) is None


@pytest.mark.parametrize("values", [("true", "false"), ("false", "true"), ("false", "yes")])
def test_of_several_aggregates_true_wins(why, values):
    state = gpu_host(*(aggregate(only_gpu_servers=value) for value in values))
    assert why(state) == KEPT


@pytest.mark.parametrize(
    "value, kept", [("True", True), ("1", True), ("no", False), ("OFF", False)]
)
def test_truth_is_spelled_as_elsewhere_in_nova(why, value, kept):
    answer = why(gpu_host(aggregate(only_gpu_servers=value)), only_gpu_servers=not kept)
    assert (answer == KEPT) is kept


# -- vCPUs and memory for free GPUs --------------------------------------------------------------


def test_vcpus_are_kept_for_every_free_gpu(why):
    # 64 - 16 - 8 = 40 vCPUs are left.
    assert why(gpu_host(), reserved_vcpus_per_gpu=10) is None
    told = why(gpu_host(), reserved_vcpus_per_gpu=11)
    assert told == "40 vCPUs would be left, 44 are kept for its free GPUs"


def test_fewer_free_gpus_keep_fewer_vcpus(why):
    assert why(gpu_host(count=3), reserved_vcpus_per_gpu=11) is None
    assert why(gpu_host(count=0, vcpus_used=64), reserved_vcpus_per_gpu=11) is None


def test_vcpus_are_counted_with_the_allocation_ratio(why):
    state = gpu_host()
    state.cpu_allocation_ratio = 2.0
    assert why(state, reserved_vcpus_per_gpu=26) is None
    assert "104 vCPUs would be left, 108" in why(state, reserved_vcpus_per_gpu=27)


def test_an_unknown_allocation_ratio_is_one(why):
    state = gpu_host()
    state.cpu_allocation_ratio = None
    assert "40 vCPUs would be left, 44" in why(state, reserved_vcpus_per_gpu=11)


def test_memory_is_kept_for_every_free_gpu(why):
    # 32768 - 8192 = 24576 MiB are left.
    assert why(gpu_host(), reserved_ram_mib_per_gpu=6144) is None
    told = why(gpu_host(), reserved_ram_mib_per_gpu=6145)
    assert told == "24576 MiB RAM would be left, 24580 are kept for its free GPUs"


def test_aggregates_override_the_options(why):
    state = gpu_host(aggregate(reserved_vcpus_per_gpu="2", reserved_ram_mib_per_gpu="0"))
    assert why(state, reserved_vcpus_per_gpu=99, reserved_ram_mib_per_gpu=99999) is None
    state = gpu_host(aggregate(reserved_vcpus_per_gpu="20"))
    assert "80 are kept" in why(state, reserved_vcpus_per_gpu=0, reserved_ram_mib_per_gpu=0)


def test_of_several_aggregates_the_largest_wins(why):
    amounts = ("9", "20", "3")
    state = gpu_host(*(aggregate(reserved_vcpus_per_gpu=amount) for amount in amounts))
    assert "80 are kept" in why(state)


def test_an_aggregate_without_our_keys_changes_nothing(why):
    assert why(gpu_host(aggregate(other="1"))) is None
    state = gpu_host(aggregate(other="1"))
    assert "44 are kept" in why(state, reserved_vcpus_per_gpu=11)


@pytest.mark.parametrize(
    "key, value, expected",
    [
        ("only_gpu_servers", "perhaps", "true or false"),
        ("reserved_vcpus_per_gpu", "-1", "a number from 0 on"),
        ("reserved_vcpus_per_gpu", "many", "a number from 0 on"),
        ("reserved_ram_mib_per_gpu", "1.5", "a number from 0 on"),
        ("reserved_ram_mib_per_gpu", "", "a number from 0 on"),
    ],
)
def test_nonsense_in_metadata_is_ignored_with_one_warning(why, logged, key, value, expected):
    rules = Protection(cfg.CONF.gpu_passthrough, Warnings())
    for _ in range(3):
        assert why(gpu_host(aggregate(**{key: value})), rules=rules) is None
    (line,) = logged("WARNING")
    told = f"Host gpu-host: aggregate metadata gpu_passthrough:{key} is {value!r}, expected "
    assert line == f"{told}{expected}; it is ignored"


def test_good_metadata_beside_nonsense_counts(why):
    state = gpu_host(aggregate(reserved_vcpus_per_gpu="x"), aggregate(reserved_vcpus_per_gpu="11"))
    assert "44 are kept" in why(state)


def test_options_hold_where_all_metadata_is_nonsense(why):
    state = gpu_host(aggregate(reserved_vcpus_per_gpu="x"))
    assert "44 are kept" in why(state, reserved_vcpus_per_gpu=11)
