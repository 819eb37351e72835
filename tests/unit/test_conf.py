# SPDX-License-Identifier: Apache-2.0
"""The options: valid values are used, invalid ones stop the scheduler."""

import pytest
from oslo_config import cfg

from nova_gpu_passthrough import conf as gpu_conf
from nova_gpu_passthrough.conf import load_or_exit
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies import mix
from nova_gpu_passthrough.policies.fragmentation import Fragmentation
from nova_gpu_passthrough.policies.pack import Pack
from nova_gpu_passthrough.scheduler.filters import GpuPassthroughFilter


@pytest.fixture
def configured(tmp_path):
    """Read a configuration file with these lines in this package's section."""

    def read(*lines):
        path = tmp_path / "nova.conf"
        path.write_text("\n".join(["[gpu_passthrough]", *lines]) + "\n", encoding="utf-8")
        conf = cfg.ConfigOpts()
        conf(["--config-file", str(path)], project="nova")
        return conf

    return read


def test_the_defaults_are_valid(configured):
    conf = configured()
    assert type(load_or_exit(conf)) is Pack
    section = conf.gpu_passthrough
    assert section.aliases == section.resource_classes == []
    assert section.weight_multiplier == 10000.0
    assert section.max_candidates == 8
    assert section.randomize_equal_choices is True
    assert section.only_gpu_servers is False
    assert section.avoid_gpu_hosts == 1.0
    assert not conf.gpu_passthrough.gpu_values


def test_valid_values_are_read(configured):
    conf = configured(
        "aliases = a, b",
        "resource_classes = PGPU",
        "policy = spread",
        "weight_multiplier = 0",
        "max_candidates = 64",
        "randomize_equal_choices = no",
        "reserved_vcpus_per_gpu = 12",
        "avoid_gpu_hosts = 0.5",
        "gpu_values = A100-SXM-80GB:12,own:3.5",
    )
    load_or_exit(conf)
    assert conf.gpu_passthrough.aliases == ["a", "b"]
    assert conf.gpu_passthrough.reserved_vcpus_per_gpu == 12
    assert conf.gpu_passthrough.gpu_values == {"A100-SXM-80GB": 12.0, "own": 3.5}


INVALID = [
    ("policy", "best", "fragmentation, pack, spread"),
    ("policy", "", "fragmentation, pack, spread"),
    ("mix_file", "/nowhere/mix.yaml", "name a readable file"),
    ("mix_file", "/dev/null", "is a device, not a file"),
    ("mix_half_life", "-1", "expected a number of 0 or more"),
    ("mix_half_life", "inf", "expected a number of 0 or more"),
    ("aliases", "a,,b", "expected comma-separated names"),
    ("resource_classes", ",PGPU", "expected comma-separated names"),
    ("weight_multiplier", "abc", "expected a number of 0 or more"),
    ("weight_multiplier", "-1", "expected a number of 0 or more"),
    ("weight_multiplier", "nan", "expected a number of 0 or more"),
    ("weight_multiplier", "inf", "expected a number of 0 or more"),
    ("max_candidates", "0", "expected a whole number from 1 to 64"),
    ("max_candidates", "65", "expected a whole number from 1 to 64"),
    ("max_candidates", "1.5", "expected a whole number from 1 to 64"),
    ("randomize_equal_choices", "maybe", "expected true or false"),
    ("only_gpu_servers", "2", "expected true or false"),
    ("reserved_vcpus_per_gpu", "-1", "expected a whole number of 0 or more"),
    ("reserved_vcpus_per_gpu", "few", "expected a whole number of 0 or more"),
    ("reserved_pcpus_per_gpu", "-1", "expected a whole number of 0 or more"),
    ("reserved_ram_mib_per_gpu", "-1", "expected a whole number of 0 or more"),
    ("avoid_gpu_hosts", "1.1", "expected a number from 0 to 1"),
    ("avoid_gpu_hosts", "-0.1", "expected a number from 0 to 1"),
    ("avoid_gpu_hosts", "nan", "expected a number from 0 to 1"),
    ("gpu_values", "A100", "expected comma-separated model:number pairs"),
    ("gpu_values", "A100:much", "expected comma-separated model:number pairs"),
    ("gpu_values", "A100:-1", "expected comma-separated model:number pairs"),
    ("gpu_values", "A100:nan", "expected comma-separated model:number pairs"),
    ("gpu_values", ":1", "expected comma-separated model:number pairs"),
]


@pytest.mark.parametrize("option, value, expected", INVALID)
def test_an_invalid_value_stops_the_scheduler_with_one_line(
    configured, logged, option, value, expected
):
    with pytest.raises(SystemExit) as stopped:
        load_or_exit(configured(f"{option} = {value}"))
    assert stopped.value.code not in (0, None)
    (line,) = logged("CRITICAL")
    for part in ("[gpu_passthrough]", option, value, expected):
        assert part in line
    assert "\n" not in line


def test_an_unreadable_mix_file_stops_the_scheduler_with_any_policy(configured, logged):
    for policy in ("pack", "fragmentation"):
        with pytest.raises(SystemExit):
            load_or_exit(configured(f"policy = {policy}", "mix_file = /nowhere/mix.yaml"))
    assert len(logged("CRITICAL", "mix_file: /nowhere/mix.yaml: No such file")) == 2


def test_the_policy_starts_with_the_mix_of_the_file(configured, tmp_path):
    path = tmp_path / "mix.yaml"
    path.write_text(mix.dump({RequestClass("a", 2, vcpus=8): 3.0}))
    policy = load_or_exit(
        configured("policy = fragmentation", f"mix_file = {path}", "gpu_values = own:3")
    )
    assert isinstance(policy, Fragmentation)
    assert [request_class.gpus for request_class in policy.classes] == [2]


def test_every_option_is_tried_with_an_invalid_value():
    tried = {option for option, _, _ in INVALID}
    assert tried == {opt.name for opt in gpu_conf.OPTS}


def test_the_filter_does_not_start_with_an_invalid_option(options, logged):
    options(policy="best")
    with pytest.raises(SystemExit):
        GpuPassthroughFilter()
    assert len(logged("CRITICAL")) == 1


def test_registering_twice_is_harmless(configured):
    conf = configured()
    gpu_conf.register_opts(conf)
    gpu_conf.register_opts(conf)
    load_or_exit(conf)


def test_all_options_are_listed_with_help():
    ((group, opts),) = gpu_conf.list_opts()
    assert group.name == "gpu_passthrough"
    assert all(opt.help for opt in opts)
    assert opts == gpu_conf.OPTS
